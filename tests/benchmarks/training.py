"""What the engine costs: one epoch of AE.fit against a bare hand-written loop. `python -m tests.benchmarks.training`.

MNIST class 8 (noise images of the same number and size where ADVAD_DATA is not set), network 784-512-256-128,
batch 128, Adam, one thread. The two run in turn in one process, each first in every other round, and are timed in
processor time, which a busy machine disturbs less; printed is the median of the ratios of neighbours.
"""

import os
import statistics
import time
from functools import partial

import torch
from torch.nn import functional as F

import advad
from tests.cases import noise

EPOCHS, ROUNDS, BATCH = 4, 20, 128


def bare_loop(x, encoder, decoder, epochs):
    """Train as one would by hand on preloaded float tensors: no history, no checkpoints, no device, no seed."""
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            loss = F.mse_loss(decoder(encoder(batch)), batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def processor_time(work):
    """Return the processor seconds that `work()` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main():
    """Print the ratio."""
    torch.set_num_threads(1)
    if os.environ.get("ADVAD_DATA"):
        images = advad.one_class(advad.load("MNIST"), normal=8, holdout=0.0).train
    else:
        images = noise(5851, (1, 28, 28))
    x = images.float() / 255
    ratios, seconds = [], []
    for number in range(ROUNDS + 1):
        detector = advad.AE(epochs=EPOCHS, batch_size=BATCH, device="cpu")
        networks = detector.build((1, 28, 28))
        bare = partial(bare_loop, x, networks["encoder"], networks["decoder"], EPOCHS)
        ours = partial(detector.fit, images, progress=False)
        if number % 2:
            ours_took, bare_took = processor_time(ours), processor_time(bare)
        else:
            bare_took, ours_took = processor_time(bare), processor_time(ours)
        ratios.append(ours_took / bare_took)
        seconds.append(bare_took)
    ratios, seconds = ratios[1:], seconds[1:]  # the first round warms up
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"AE.fit / bare loop: {statistics.median(ratios):.3f} (quartiles {low:.3f} to {high:.3f}, {ROUNDS} rounds "
        f"of {EPOCHS} epochs, {len(images)} images; bare loop {statistics.median(seconds):.2f} s; "
        f"torch {torch.__version__})"
    )


if __name__ == "__main__":
    main()
