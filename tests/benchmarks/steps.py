"""Where the time of a training step goes, and how far it is from its floor.

    python -m tests.benchmarks.steps [METHOD …]

A line of a Markdown table for each method, at the sizes of the lessons' profile lab (28×28, MNIST-lab, class 8), on one
thread: milliseconds a step; the shares of matrix products and convolutions, of the optimisers, of casts and copies, of
random numbers, of all other operations, and of Python between them; floating-point operations of a step; and how many
times the floor a step takes. The floor is the time of these operations at the rate of a large matrix product in the
same precision, as measured here. Shares are of the processor's time under torch's profiler, which also costs time.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable

import click
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import advad

IMAGES = 1000
DENSE = {"widths": (256, 256), "batch_size": 64}
METHODS = {
    "AE": (advad.AE, DENSE),
    "ARAE": (advad.ARAE, DENSE | {"attack_steps": 5, "activation": "relu"}),
    "ALCN": (advad.ALCN, DENSE),
    "AAE": (advad.AAE, DENSE),
    "AGAD": (advad.AGAD, {"conv_width": 16}),
    "Berg": (advad.Berg, {"width": 8, "growth_epochs": 1}),
    "AE-conv": (advad.AE, {"network": "conv"}),
}
KINDS = {  # what an operation's name holds -> its kind; the first that fits
    "products and convolutions": ("mm", "convolution", "conv2d", "mkldnn_rnn", "linear"),
    "optimisers": ("adam", "Optimizer", "rmsprop", "_foreach"),
    "casts and copies": ("copy", "contiguous", "clone", "empty", "index"),
    "random numbers": ("uniform", "normal", "rand", "bernoulli"),
}


class NoModules(contextlib.nullcontext):
    """Takes the place of torch's tracker of modules, whose hooks do not bear `torch.autograd.grad`."""

    parents = frozenset({"Global"})


def kind_of(name: str) -> str:
    """Return the kind of an operation."""
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other operations")


def gemm_rate(dtype: torch.dtype) -> float:
    """Return floating-point operations a second of a large matrix product."""
    a, b = torch.randn(512, 1024, dtype=dtype), torch.randn(1024, 1024, dtype=dtype)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 512 * 1024 * 1024 / best


def flop(work: Callable[[], object]) -> int:
    """Return the floating-point operations of `work()`."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = NoModules()
    with counter:
        work()
    return counter.get_total_flops()


def line(name: str, images: torch.Tensor) -> str:
    """Return a method's line of the table."""
    cls, settings = METHODS[name]

    def fit(epochs: int) -> advad.Detector:
        return cls(**settings, epochs=epochs, device="cpu").fit(images, progress=False)

    detector = fit(1)  # warms up
    n_steps = 2 * -(-len(images) // detector.batch_size)
    start = time.process_time()
    fit(0)
    around = time.process_time() - start
    start = time.process_time()
    fit(2)
    seconds = (time.process_time() - start - around) / n_steps
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        start = time.perf_counter()
        fit(2)
        total = time.perf_counter() - start
    shares: Counter[str] = Counter()
    for event in profiled.key_averages():
        shares[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / total
    operations = (flop(lambda: fit(2)) - flop(lambda: fit(0))) / n_steps
    floor = operations / gemm_rate(torch.bfloat16 if detector.precision_ == "bfloat16" else torch.float32)
    python = max(0.0, 1 - sum(shares.values()))
    cells = [f"{shares[kind]:.0%}" for kind in (*KINDS, "other operations")]
    return (
        f"| {name} | {detector.precision_} | {1000 * seconds:.2f} | {' | '.join(cells)} | {python:.0%} | "
        f"{operations / 1e6:,.0f} | {seconds / floor:.1f} |"
    )


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(METHODS)))
def main(names: tuple[str, ...]) -> None:
    """Print the table of NAMES, all unless named."""
    torch.set_num_threads(1)
    images = advad.one_class(advad.load("MNIST-lab"), normal=8, holdout=0.0).train[:IMAGES]
    print(
        f"| method | precision | ms a step | {' | '.join(KINDS)} | other operations | Python | million FLOP | / floor |"
    )
    print("|" + "---|" * (len(KINDS) + 7))
    for name in names or METHODS:
        print(line(name, images), flush=True)


if __name__ == "__main__":
    main()
