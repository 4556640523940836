"""What a sweep costs. `python -m tests.benchmarks.sweep`: what it adds to each run, and what two workers gain.

AE on MNIST class 8 (the embedded digits where ADVAD_DATA is not set), one thread a worker; the number of epochs is
chosen so that a run takes about S seconds. Overhead: the processor's seconds of a sweep of two runs in this process,
against the same two runs as a plain script would do them (load, split, fit, score, the same metrics). Workers: the wall
clock of a sweep of R runs by two workers, whose start counts, against one. That needs two cores that nobody else uses;
what the processor's seconds of both would give there (twice those of one, over those of two) is printed beside it.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import click
import torch

import advad
from advad.experiments.evaluate import measure
from advad.experiments.sweep import sweep

SETTINGS = {"batch_size": 128, "widths": (512, 256)}


def spec(epochs: int, seeds: int, dataset: str) -> dict:
    """Return a sweep of one method and class over several seeds."""
    method = {"method": "AE", "epochs": epochs, "batch_size": 128, "widths": [512, 256]}
    return {
        "seed": list(range(seeds)),
        "device": "cpu",
        "data": {"dataset": dataset, "normal": 8, "test_size": 2000},
        "methods": [method],
    }


def by_hand(epochs: int, seeds: int, dataset: str) -> float:
    """Return the processor's seconds of the same runs without a sweep."""
    begin = time.process_time()
    images = advad.load(dataset)
    for seed in range(seeds):
        split = advad.one_class(images, normal=8, test_size=2000, seed=seed)
        detector = advad.AE(**SETTINGS, epochs=epochs, seed=seed, device="cpu").fit(split.train, progress=False)
        measure(detector, split)
    return time.process_time() - begin


def swept(epochs: int, seeds: int, dataset: str, workers: int) -> tuple[float, float]:
    """Return the seconds of a sweep, by the wall clock and of the processor."""

    def worked() -> float:
        mine, children = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN)  # the workers have ended by then
        return mine.user + mine.system + children.ru_utime + children.ru_stime

    with tempfile.TemporaryDirectory() as folder:
        begin, before = time.perf_counter(), worked()
        outcomes = sweep(spec(epochs, seeds, dataset), folder=Path(folder) / "out", workers=workers, progress=False)
        took = time.perf_counter() - begin, worked() - before
    assert not any(outcome.error for outcome in outcomes)
    return took


@click.command()
@click.option("--seconds", type=float, default=30.0, show_default=True, help="That a run trains for.")
@click.option("--runs", type=click.IntRange(2), default=4, show_default=True, help="R, for one worker and two.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True)
def main(seconds: float, runs: int, rounds: int) -> None:
    """Print the two ratios."""
    torch.set_num_threads(1)
    dataset = "MNIST" if os.environ.get("ADVAD_DATA") else "digits"
    by_hand(2, 1, dataset)  # warms up
    probe = by_hand(12, 1, dataset) - by_hand(2, 1, dataset)
    epochs = max(3, round(10 * seconds / probe))
    for _ in range(rounds):
        hand = by_hand(epochs, 2, dataset)
        _, worked = swept(epochs, 2, dataset, 1)
        (one, alone), (two, shared) = swept(epochs, runs, dataset, 1), swept(epochs, runs, dataset, 2)
        print(
            f"AE on {dataset}, {epochs} epochs, about {hand / 2:.0f} s a run: sweep / by hand {worked / hand:.3f}; "
            f"two workers finish {one / two:.2f} times as many of {runs} runs a minute as one, their start included "
            f"({2 * alone / shared:.2f} by the processor's seconds); "
            f"(torch {torch.__version__}, {os.cpu_count()} cores)",
            flush=True,
        )


if __name__ == "__main__":
    main()
