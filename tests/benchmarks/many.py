"""Many models in one loop against one by one. `python -m tests.benchmarks.many [--device cuda] [--epochs E]`.

ARAE, ten MNIST classes of 4,800 training images each (the embedded digits, 100 each, where ADVAD_DATA is not set),
dense network 784-512-256-128, batch 128, PGD of 5 steps. Training time alone: the clock's on a GPU; on a CPU, with one
thread, the processor's, which neighbours disturb less.
"""

import os
import time

import click
import torch

import advad
from advad.engine.stacking import fit_stacked


@click.command()
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True)
def main(device: str, epochs: int) -> None:
    """Print the ratio."""
    torch.set_num_threads(1)
    dataset, size = ("MNIST", 4800) if os.environ.get("ADVAD_DATA") else ("digits", 100)
    images = advad.load(dataset)
    training = [advad.one_class(images, normal=c, train_size=size, test_size=100).train for c in range(10)]
    settings = {"epochs": epochs, "attack_steps": 5, "activation": "relu", "device": device}

    clock = time.perf_counter if device == "cuda" else time.process_time

    def seconds(train) -> float:
        begin = clock()
        train()
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - begin

    def one_by_one() -> None:
        for some in training:
            advad.ARAE(**settings).fit(some, progress=False)

    advad.ARAE(**settings | {"epochs": 1}).fit(training[0][:256], progress=False)  # warms up
    one = seconds(one_by_one)
    many = seconds(lambda: fit_stacked([advad.ARAE(**settings) for _ in training], training, progress=False))
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread"
    print(
        f"one by one / stacked: {one / many:.2f} ({one:.1f} s / {many:.1f} s; ARAE, ten classes of {dataset}, {size} "
        f"images each, {epochs} epochs; {where}; torch {torch.__version__})"
    )


if __name__ == "__main__":
    main()
