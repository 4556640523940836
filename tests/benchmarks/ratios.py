"""What advad costs beside what it cannot do without. `python -m tests.benchmarks.ratios [NAME …]` prints a table.

Each ratio comes from one run in which the two are timed in turn, each first in every other round, on one thread; shown
is the median of the ratios of neighbours, with quartiles. It is processor time, which a busy machine disturbs less.
The training images are the eights of MNIST-lab, which come with advad.
"""

import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial

import click
import torch
from torch.nn import functional as F

import advad

BATCH = 128
Work = Callable[[], object]


@cache
def eights() -> torch.Tensor:
    """Return the images that all train on, `uint8`."""
    return advad.one_class(advad.load("MNIST-lab"), normal=8, holdout=0.0).train


def bare_loop(x, networks, epochs):
    """Train as one would by hand on preloaded float tensors: no history, no checkpoints, no device, no seed."""
    encoder, decoder = networks["encoder"], networks["decoder"]
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            loss = F.mse_loss(decoder(encoder(batch)), batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def processor_time(work: Work) -> float:
    """Return the seconds of this process and of its children that `work()` takes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    spent = lambda: sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))  # noqa: E731
    start = spent()
    work()
    return spent() - start


def in_turn(ours: Work, other: Work, rounds: int) -> str:
    """Return the median of the ratios of `ours()` to `other()`, with quartiles, as text."""
    ratios = []
    for number in range(rounds + 1):
        took = {work: processor_time(work) for work in ((ours, other) if number % 2 else (other, ours))}
        ratios.append(took[ours] / took[other])
    low, middle, high = statistics.quantiles(ratios[1:], n=4)  # the first round warms up
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def training(precision: str, network: str, images: int, epochs: int, rounds: int) -> str:
    """Return the ratio of AE.fit to a bare loop in float32, whose convolutions are NCHW."""
    some = eights()[:images]
    detector = advad.AE(epochs=epochs, batch_size=BATCH, network=network, precision=precision, device="cpu")
    networks = detector.build((1, 28, 28))
    bare = partial(bare_loop, some.float() / 255, networks, epochs)
    return in_turn(partial(detector.fit, some, progress=False), bare, rounds)


def scoring() -> str:
    """Return the ratio of scoring 60,000 images to passing them through the network, as floats, in batches of 5,000."""
    detector = advad.AE(epochs=1, device="cpu").fit(eights(), progress=False)
    images = eights().repeat(-(-60_000 // len(eights())), 1, 1, 1)[:60_000]
    x = images.float() / 255
    networks = detector.networks_

    @torch.no_grad()
    def alone():
        return [networks.decoder(networks.encoder(part)) for part in x.split(5000)]

    return in_turn(partial(detector.anomaly_score, images), alone, 6)


def _peak_of_a_fit(connection) -> None:
    """Send by how many bytes a fit raises the peak of this process beyond images and three times the weights."""
    detector = advad.AE(epochs=1, device="cpu")
    torch.optim.Adam([torch.zeros(1, requires_grad=True)], fused=True)  # imports what a fit imports
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # noqa: E731
    before = peak()
    images = torch.randint(0, 256, (6000, 1, 28, 28), dtype=torch.uint8)
    detector.fit(images, progress=False)
    weights = sum(weight.nbytes for weight in detector.networks_.parameters())
    connection.send(peak() - before - images.nbytes - 3 * weights)


def memory() -> str:
    """Return what a fit takes beside images and three times the weights, as a share of 200 MB."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_peak_of_a_fit, args=(there,))
    process.start()
    there.close()
    beyond = here.recv()
    process.join()
    return f"{beyond / 200e6:.3f} ({beyond / 1e6:.0f} MB)"


def start(*arguments: str) -> str:
    """Return the median processor seconds of a start of Python with these arguments."""
    call = partial(subprocess.run, [sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return f"{statistics.median(processor_time(call) for _ in range(9)):.3f} s"


BENCHES = {  # name -> (what it is, the most that it should be, how it is measured)
    "dense": ("dense AE, float32 / bare loop", "1.03", partial(training, "float32", "dense", 2000, 8, 12)),
    "dense-bf16": ("dense AE, bfloat16 / bare loop", "0.70", partial(training, "bfloat16", "dense", 2000, 8, 12)),
    "conv-bf16": (
        "convolutional AE, bfloat16 / bare NCHW loop",
        "0.35",
        partial(training, "bfloat16", "conv", 512, 1, 6),
    ),
    "scoring": ("60,000 scores / the network alone", "1.10", scoring),
    "memory": ("memory of a fit beside images and 3 × weights / 200 MB", "1", memory),
    "import": ("import advad", "0.1 s", partial(start, "-c", "import advad")),
    "help": ("advad --help", "0.6 s", partial(start, "-c", "from advad.cli.main import main; main(['--help'])")),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)))
def main(names: tuple[str, ...]) -> None:
    """Print the table of NAMES, all unless named."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {time.strftime('%F')}\n")
    print("| what | measured (quartiles) | at most |")
    print("|---|---|---|")
    for name in names or BENCHES:
        what, limit, bench = BENCHES[name]
        print(f"| {what} | {bench()} | {limit} |", flush=True)


if __name__ == "__main__":
    main()
