"""From click to image in the kernel, at 28×28 with the networks of ARAE's paper, 10,000 images.

    python -m tests.benchmarks.explorers

An event goes in as the page sends it; the clock stops when all widgets have their new state. It is to take less
than 150 ms; a stroke of the brush over an image of up to 128×128, less than 500 ms. The images are MNIST's where
`ADVAD_DATA` holds it, else noise: how long it takes does not depend on that.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

import advad
from advad import explorers

ROUNDS, LIMIT, LIMIT_LARGE = 30, 150.0, 500.0  # ms


def images_and_classes(n: int = 10_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n images of 28×28 and their classes."""
    if os.path.isdir(os.path.join(os.environ.get("ADVAD_DATA", "data"), "MNIST")):
        images = advad.load("MNIST")
        return images.images[-n:], images.labels[-n:]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 10, (n,), generator=generator)


def clock(what: str, events: Iterable[Callable[[], object]], limit: float = LIMIT) -> float:
    """Print how long each event takes to be answered, the median and the worst; return the median over the limit."""
    taken = []
    for event in events:
        start = time.perf_counter()
        event()
        taken.append(1000 * (time.perf_counter() - start))
    median = statistics.median(taken)
    print(f"    {what:36}  median {median:5.1f} ms   worst {max(taken):5.1f} ms")
    return median / limit


def moves(control: Any, values: Iterable[Any]) -> Iterator[Callable[[], object]]:
    """Return the events of a control being moved to values."""
    return (functools.partial(setattr, control, "value", value) for value in values)


def latent(detector: Any, images: torch.Tensor, labels: torch.Tensor) -> Iterator[float]:
    """Click and hover on points and on the plane."""
    start = time.perf_counter()
    explorer = explorers.LatentExplorer(detector, images, labels=labels)
    print(f"LatentExplorer, latent_dim {detector.latent_dim}: shown after {time.perf_counter() - start:.1f} s")
    chosen = np.random.default_rng(0).integers(0, len(images), ROUNDS).tolist()
    for kind, trace in (("click", 1), ("click", 0), ("hover", 1), ("hover", 0)):

        def send(index: int, kind: str = kind, trace: int = trace) -> None:
            x, y = explorer.map.points[index].tolist()
            where = {"trace_indexes": [trace], "point_indexes": [index if trace else [3, 4]], "xs": [x], "ys": [y]}
            message = {"event_type": f"plotly_{kind}", "points": where, "device_state": None, "selector": None}
            explorer.figure.widget._js2py_pointsCallback = message

        name = f"{kind} on {'a point' if trace else 'the plane'}"
        yield clock(name, (functools.partial(send, index) for index in chosen))


def noise(detector: Any, images: torch.Tensor) -> Iterator[float]:
    """Go through images, kinds of noise and strengths."""
    print(f"NoiseExplorer, {type(detector).__name__}")
    ladder = explorers.NoiseExplorer(detector, images[: ROUNDS + 1])
    yield clock("another image", moves(ladder.picker, range(1, ROUNDS + 1)))
    yield clock("another strength", moves(ladder.rung, [k % 17 for k in range(ROUNDS)]))
    yield clock("another noise", moves(ladder.noise, ["Gaussian", "speckle", "uniform"] * (ROUNDS // 3)))


def brush(detector: Any, images: torch.Tensor, labels: torch.Tensor) -> Iterator[float]:
    """Paint strokes that grow, with each fill."""
    print("OcclusionBrush")
    explorer = explorers.OcclusionBrush(detector, images, labels=labels)
    for name, fill in explorer.fill.options.items():
        explorer.fill.value = fill
        strokes = (list(range(300, 304 + 3 * k)) for k in range(ROUNDS))
        yield clock(f"a stroke of {name}", (functools.partial(setattr, explorer.canvas, "covered", s) for s in strokes))


def large_brush(side: int) -> Iterator[float]:
    """Paint strokes over large images with a dense autoencoder; the maps become finer afterwards, batch by batch."""
    images = torch.randint(0, 256, (40, 1, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    detector = advad.AE(epochs=1, latent_dim=32, widths=(512, 128), device="cpu").fit(images[:20], progress=False)
    explorer = explorers.OcclusionBrush(detector, images[20:])
    print(f"OcclusionBrush, {side}×{side}")
    strokes = (list(range(300, 304 + 3 * k)) for k in range(ROUNDS))
    events = (functools.partial(setattr, explorer.canvas, "covered", stroke) for stroke in strokes)
    yield clock(f"a stroke, to its first map ({explorer.coarseness} px)", events, LIMIT_LARGE)
    steps = []
    while not explorer.after.maps.is_finest and len(steps) < ROUNDS:
        start = time.perf_counter()
        explorer._refine()
        steps.append(1000 * (time.perf_counter() - start))
    if steps:
        print(f"    between two messages to the kernel    median {statistics.median(steps):5.1f} ms")


def guess(detector: Any, images: torch.Tensor, labels: torch.Tensor) -> Iterator[float]:
    """Play rounds."""
    print("GuessingGame")
    game = explorers.GuessingGame(detector, images, is_anomaly=labels != 8)

    def play() -> None:
        for button in game.buttons[: game.budget]:
            button.value = True
        game.commit_button.click()
        game.next_button.click()

    yield clock("a round: four picks, two clicks", [play] * ROUNDS)


def contamination(images: torch.Tensor, labels: torch.Tensor) -> Iterator[float]:
    """Move both sliders over 4 rates, 3 seeds and 5 epochs of made-up scores."""
    rng = np.random.default_rng(0)
    grid, truth = (4, 3, 5), np.stack([(labels != 8).numpy()] * 3)
    runs = explorers.ContaminationRuns(
        np.array([0, 0.01, 0.05, 0.2]),
        np.arange(3),
        np.array([1, 2, 5, 10, 20]),
        (rng.normal(size=(*grid, len(images))) + 2 * truth[:, None]).astype(np.float32),
        rng.normal(size=(*grid, 500)).astype(np.float32),
        truth,
        np.stack([images.numpy()] * 3),
    )
    start = time.perf_counter()
    explorer = explorers.ContaminationExplorer(runs)
    print(f"ContaminationExplorer, {np.prod(grid)} runs: shown after {time.perf_counter() - start:.1f} s")
    yield clock("another contamination", moves(explorer.rate, [k % 4 for k in range(ROUNDS)]))
    yield clock("another epoch", moves(explorer.epoch, [k % 5 for k in range(ROUNDS)]))


def main() -> int:
    """Print a line for each kind of event; return 1 if one takes too long."""
    torch.set_num_threads(1)
    images, labels = images_and_classes()
    few: dict[str, Any] = {"epochs": 1, "device": "cpu"}
    plane, wide = (advad.AE(**few, latent_dim=n).fit(images[:2000], progress=False) for n in (2, 128))
    alcn = advad.ALCN(**few).fit(images[:500], progress=False)
    taken = itertools.chain(
        latent(plane, images, labels),
        latent(wide, images, labels),
        noise(wide, images),
        noise(alcn, images),
        brush(wide, images[:500], labels[:500]),
        *(large_brush(side) for side in (28, 64, 128)),
        guess(wide, images, labels),
        contamination(images, labels),
    )
    return int(max(taken) > 1)


if __name__ == "__main__":
    sys.exit(main())
