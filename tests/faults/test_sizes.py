"""Many images at once: the memory beside the result does not grow with their number."""

import multiprocessing
import resource
import sys

import pytest
import torch

from advad.analysis.saliency import occlusion_map


def taken(connection, images, **how):
    """Send by how many MiB the most memory of this process has grown for occlusion maps."""
    score = lambda x: x.flatten(1).mean(1)  # noqa: E731
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10  # noqa: E731
    occlusion_map(score, images[:8], **how)
    before = peak()
    occlusion_map(score, images, **how)
    connection.send(peak() - before)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_occlusion_maps_of_1000_images(figure):
    """289,000 covered images of 32×32; lists of all places would take 80 MiB, the maps take 4."""
    images = torch.randint(1, 256, (1000, 1, 32, 32), dtype=torch.uint8)
    fork = multiprocessing.get_context("fork")  # a process of its own, whose peak is its own
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=taken, args=(there, images), kwargs={"patch": 16})
    process.start()
    there.close()
    grown = here.recv()
    process.join()
    figure(f"occlusion maps of 1,000 images of 32×32 take {grown} MiB beside 4 MiB of maps")
    assert grown < 32
