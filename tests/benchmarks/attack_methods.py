"""Every method under the ensemble of attacks: how far each attack moves its scores, and where Square finds more.

    python -m tests.benchmarks.attack_methods digits
    python -m tests.benchmarks.attack_methods MNIST AE ARAE --folder FOLDER

Methods are trained as the contract tests train them (`tests/cases.py`, the first case of each method), on class 8; on
MNIST on 1,500 images. 50 normal test images are attacked so that their scores rise, and 50 anomalies so that theirs
fall, in l∞ with radius 0.1. One line of a Markdown table for each method goes to the standard output. On one thread.
With a folder, what was broken off goes on there. Methods whose score costs much (`SLOW`: a search, 72 turned images, or
the features of 1,500 images) are attacked on fewer images, and for less long.

Columns: AUROC unattacked, with attacked normals, and with attacked anomalies; for each attack, the mean over images of
its share of the best gain (rise / fall); the share of images on which Square finds over 1 % of the gain more than all
attacks by gradient (rise / fall); seconds for training and for the attacks.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import advad
from advad.analysis.attack_checks import MORE
from advad.analysis.attack_ensemble import (
    APGD,
    CORNERS,
    FAR_END,
    MANY,
    SMOOTHED,
    SQUARE,
    Budget,
    attackable,
    worst_case,
)
from tests.cases import CASES, CLASSICAL, make

NORMAL, RADIUS, IMAGES, TRAINING = 8, 0.1, 50, 1500
MNIST_EPOCHS = 20  # there are more and larger images than among the digits
MEMBERS = (APGD, FAR_END, SMOOTHED, MANY, CORNERS, SQUARE)
SLOW = {"digits": ("AnoGAN",), "MNIST": ("AnoGAN", "FeatureKNN", "GeoTrans")}
FEW, SHORT = 10, Budget(steps=30, starts=1, queries=300)  # images of each class and budget for those
METHODS = {case[0].__name__: name for name, case in reversed({**CASES, **CLASSICAL}.items())}  # method -> first case


def images(dataset: str, n: int = IMAGES) -> tuple[Any, Any, Any]:
    """Return training images, n normal test images and n anomalies."""
    split = advad.one_class(advad.load(dataset), normal=NORMAL, seed=0)
    anomalies = split.test[split.test_is_anomaly]
    spread = torch.linspace(0, len(anomalies) - 1, n).round().long()  # of all classes
    return split.train[:TRAINING], split.test[~split.test_is_anomaly][:n], anomalies[spread]


def row(method: str, dataset: str, folder: Path | None = None) -> str:
    """Return a method's line of the table."""
    n, budget = (FEW, SHORT) if method in SLOW[dataset] else (IMAGES, Budget())
    training, normals, anomalies = images(dataset, n)
    case = METHODS[method]
    changes = {"epochs": min(CASES[case][2], MNIST_EPOCHS)} if dataset == "MNIST" and case in CASES else {}
    torch.manual_seed(0)
    start = time.perf_counter()
    detector = make(case, **changes).fit(training, **({} if case in CLASSICAL else {"progress": False}))
    trained = time.perf_counter()
    x, target = attackable("attack_methods", detector, normals, anomalies, "linf", budget, 0, 64)
    worst = {
        sign: worst_case(target, x[name], sign, norm="linf", radius=RADIUS, budget=budget, batch_size=64, folder=folder)
        for name, sign in (("normals", 1), ("anomalies", -1))
    }
    seconds = time.perf_counter()
    truth = np.repeat([False, True], n)
    before, after = ({sign: getattr(worst[sign], name) for sign in worst} for name in ("before", "after"))
    aurocs = [
        advad.auroc(truth, torch.cat(parts).cpu().numpy())
        for parts in ((before[1], before[-1]), (after[1], before[-1]), (before[1], after[-1]))
    ]
    cells = [f"{value:.3f}" for value in aurocs]
    gain = {sign: sign * (after[sign] - before[sign]) for sign in worst}
    for member in MEMBERS:
        shares = []
        for sign in (1, -1):
            values = worst[sign].by_attack.get(member)
            shares.append("–" if values is None else f"{share(sign * (values - before[sign]), gain[sign]):.3f}")
        cells.append(" / ".join(shares))
    beaten = []
    for sign in (1, -1):
        by_gradient = [sign * values for name, values in worst[sign].by_attack.items() if name != SQUARE]
        if by_gradient:
            more = sign * worst[sign].by_attack[SQUARE] - torch.stack(by_gradient).amax(0)
            beaten.append(f"{float((more > MORE * gain[sign]).float().mean()):.0%}")
    cells += [" / ".join(beaten) or "–", f"{trained - start:.0f} + {seconds - trained:.0f}"]
    return f"| {method} | {' | '.join(cells)} |"


def share(gains: torch.Tensor, best: torch.Tensor) -> float:
    """Return the mean share of the best gain; a gain in the wrong direction counts as none."""
    return float((gains.clamp_min(0) / best.clamp_min(1e-12)).mean())


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", choices=SLOW)
    parser.add_argument("methods", nargs="*", default=sorted(METHODS))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for method in arguments.methods:
        print(row(method, arguments.dataset, arguments.folder), flush=True)


if __name__ == "__main__":
    main()
