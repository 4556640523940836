"""Each method on real images, beside the published figure. `python -m tests.benchmarks.methods [METHOD …] [--write]`.

Last epoch, no choice made on test data, all test images. `--write` puts the rows into data/measured.csv, in place of
older rows of the same method, data, metric, budget and hardware. Needs ADVAD_DATA (or data/) with MNIST, and
cifar10_part.npz for the GANs.
"""

from __future__ import annotations

import csv
import datetime
import functools
import inspect
import json
import platform
import statistics
import time
from pathlib import Path

import click
import torch

import advad
from advad.methods.adae import PAPER as PAPER_ADAE
from advad.methods.anogan import PAPER as PAPER_ANOGAN
from advad.methods.berg import PAPER as PAPER_BERG
from advad.methods.egbad import PAPER as PAPER_EGBAD
from advad.methods.fanogan import PAPER as PAPER_FANOGAN
from advad.methods.ganomaly import PAPER as PAPER_GANOMALY
from advad.methods.geotrans import PAPER as PAPER_GEOTRANS
from advad.methods.lsa import PAPER as PAPER_LSA
from advad.methods.ocgan import PAPER as PAPER_OCGAN
from advad.methods.oled import PAPER as PAPER_OLED
from advad.methods.skip_ganomaly import PAPER as PAPER_SKIP
from advad.scoreboard.measured import write_lines
from advad.scoreboard.rows import SIZES

DATA = Path(__file__).resolve().parents[1] / "data"
RELU = {"activation": "relu"}
SHORT = {"epochs": 8, "conv_width": 8, "learning_rate": 1e-3}  # 664 steps where the paper has 12,000: larger ones
# method -> budget -> settings; "lab" is some minutes on a laptop's core, "paper" the paper's own, for a GPU
SETTINGS = {
    "AE": {"lab": {"epochs": 40}, "paper": {"epochs": 500, "batch_size": 256}},
    "DAE": {"lab": {"epochs": 40}, "paper": {"epochs": 500, "batch_size": 256}},
    "ARAE": {"lab": {"epochs": 40, "attack_steps": 5, **RELU}, "paper": {"epochs": 1600, "batch_size": 256}},
    "ALCN": {"lab": {"epochs": 40}, "paper": {"epochs": 500, "batch_size": 256}},
    "OLED": {"lab": {"epochs": 12}, "paper": PAPER_OLED["MNIST"]},
    "VAE": {"lab": {"epochs": 40}, "paper": {"epochs": 500}},
    "DeepSVDD": {"lab": {}, "paper": {"pretrain_epochs": 350, "epochs": 250}},
    "DeepSAD": {"lab": {}, "paper": {"pretrain_epochs": 350, "epochs": 250}},
    **{name: {"lab": {}, "paper": {}} for name in ("PCA", "OCSVM", "LOF", "IForest", "KDE")},
    "AGAD": {"lab": {"epochs": 10}, "paper": {"epochs": 100, "batch_size": 256, "conv_width": 64}},
    "GANomaly": {"lab": SHORT, "paper": PAPER_GANOMALY},
    "SkipGANomaly": {"lab": SHORT, "paper": PAPER_SKIP},
    "AAE": {"lab": {}, "paper": {"epochs": 1000, "widths": (1000, 1000), "critic_widths": (1000, 1000)}},
    "ITSR": {"lab": {}, "paper": {"pretrain_epochs": 500, "refine_epochs": 100, "epochs": 1000}},
    "Berg": {"lab": {}, "paper": PAPER_BERG},
    "FAnoGAN": {"lab": {}, "paper": PAPER_FANOGAN},
    "AnoGAN": {"lab": {}, "paper": PAPER_ANOGAN},
    "EGBAD": {"lab": {"epochs": 20, "width": 8}, "paper": PAPER_EGBAD},
    "ADAE": {"lab": {"epochs": 20, "conv_width": 8}, "paper": PAPER_ADAE},
    "LSA": {"lab": {"epochs": 20}, "paper": PAPER_LSA},
    "OCGAN": {"lab": {"epochs": 10, "mining_start": 5}, "paper": PAPER_OCGAN},
    "GeoTrans": {"lab": {}, "paper": PAPER_GEOTRANS},
}
# published name of a method where it is another than ours
PUBLISHED = {"AE": ("itsr", "AE"), "DAE": ("arae", "DAE"), "ARAE": ("arae", "ARAE")}
PUBLISHED |= {"AAE": ("itsr", "AAE"), "FAnoGAN": ("berg", "f-AnoGAN"), "AnoGAN": ("arae", "AnoGAN")}
PUBLISHED |= {"EGBAD": ("alcn", "EGBAD"), "ADAE": ("alcn", "ADAE")}  # leave-one-out only
PUBLISHED |= {"OLED": ("alcn", "OLED")}
PUBLISHED |= {"GeoTrans": ("agad", "GeoTrans"), "LSA": ("arae", "LSA"), "OCGAN": ("arae", "OCGAN")}
PUBLISHED |= {"GANomaly": ("alcn", "GANomaly"), "SkipGANomaly": ("alcn", "Skip-GANomaly")}
PUBLISHED |= {"OCSVM": ("arae", "OCSVM"), "DeepSVDD": ("arae", "DSVDD"), "VAE": ("arae", "VAE")}


def one_of(images: str, normal: int, seed: int, **given: float) -> advad.Split:
    """Return a set with one class normal, protocol 2; a tenth of the training images is held out, for thresholds."""
    return advad.one_class(advad.load(images), normal=normal, holdout=0.1, seed=seed, **given)


def automobile(seed: int) -> advad.Split:
    """Return CIFAR-10 with class automobile normal, protocol 2; a tenth held out."""
    return advad.one_class(advad.load("cifar10_part.npz"), normal=1, holdout=0.1, seed=seed)


def mnist_0_2(seed: int) -> advad.Split:
    """Return MNIST with class 0 normal and 5 % of class 2 in the training set; a tenth of the normals held out."""
    images = advad.load("MNIST")
    return advad.one_class(images, normal=0, contamination=0.05, contaminants=[2], holdout=0.1, seed=seed)


MNIST = {f"MNIST-{normal}": functools.partial(one_of, "MNIST", normal) for normal in range(10)}
TASKS = MNIST | {"FashionMNIST-0": functools.partial(one_of, "FashionMNIST", 0)}
TASKS |= {"CIFAR10-automobile": automobile, "MNIST-0+2": mnist_0_2}
TASKS |= {f"{name}, labels": functools.partial(TASKS[name], labelled=0.05) for name in ("MNIST-8", "FashionMNIST-0")}
TASKS["MNIST-8, 1,000 tested"] = functools.partial(TASKS["MNIST-8"], test_size=1000)  # AnoGAN searches for each image
TASKS_OF = {name: ["MNIST-8"] for name in SETTINGS}
TASKS_OF |= {"AE": ["MNIST-8", "MNIST-0+2"], "AAE": ["MNIST-0+2"], "ITSR": ["MNIST-0+2"]}
BASELINES = ("VAE", "GANomaly", "SkipGANomaly", "EGBAD", "ADAE", "OLED", "OCGAN", "LSA", "GeoTrans")
CLASSICAL = ("PCA", "LOF", "IForest", "KDE")
TASKS_OF |= {name: ["MNIST-8", "FashionMNIST-0"] for name in (*BASELINES, *CLASSICAL)}
TASKS_OF |= {"OCSVM": [*MNIST, "FashionMNIST-0"], "DeepSVDD": ["MNIST-0", "MNIST-3", "MNIST-8", "FashionMNIST-0"]}
TASKS_OF |= {"AGAD": ["MNIST-8", "MNIST-8, labels", "CIFAR10-automobile"]}
TASKS_OF |= {"DeepSAD": ["MNIST-8, labels", "FashionMNIST-0, labels"], "AnoGAN": ["MNIST-8, 1,000 tested"]}
TASKS_OF |= {"Berg": ["CIFAR10-automobile"], "FAnoGAN": ["CIFAR10-automobile"]}


def figures_of(detector: advad.Detector, split: advad.Split) -> dict[str, float]:
    """Return the metrics of a fitted detector: AUROC; with contamination, also the paper's balanced accuracies."""
    scores = detector.anomaly_score(split.test)
    found = {"auroc": advad.auroc(split.test_is_anomaly, scores)}
    if split.settings["contamination"]:
        # Beggel et al. 2019, Sec. 3.3: the threshold is the 90th percentile of the training errors
        in_training = advad.threshold_at(detector.anomaly_score(split.train), 0.1)
        held_out = advad.threshold_at(detector.anomaly_score(split.holdout), 0.1)
        normal = ~split.test_is_anomaly
        observed = normal | (split.test_labels == 2)
        for part, rows in {"observed": observed, "unobserved": normal | (split.test_labels != 2)}.items():
            truth, some = split.test_is_anomaly[rows], scores[rows.numpy()]
            found[f"auroc_{part}"] = advad.auroc(truth, some)
            found[f"balanced_accuracy_{part}"] = advad.balanced_accuracy(truth, some, in_training)
            found[f"balanced_accuracy_{part}_holdout"] = advad.balanced_accuracy(truth, some, held_out)
    return found


def published(method: str, split: advad.Split, metric: str) -> str:
    """Return the published figure for this method, data and metric, or a dash."""
    paper, name = PUBLISHED.get(method, (method.lower(), method))
    dataset = {"cifar10_part": "CIFAR10"}.get(split.settings["images"], split.settings["images"])
    with open(DATA / "published.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            same = (row["paper"], row["method"], row["dataset"], row["metric"]) == (paper, name, dataset, metric)
            rate = float(row["contamination"] or 0)
            if same and row["normal"] == str(split.normal[0]) and rate == split.settings["contamination"]:
                return row["value"]
    return "–"


def hardware(device: str) -> str:
    """Return what the figures were measured on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread"


def rows_of(method: str, task: str, budget: str, device: str, seeds: int) -> list[dict[str, object]]:
    """Train one method with several seeds on one task; return its rows of measured.csv and print them."""
    settings = SETTINGS[method][budget]
    values: dict[str, list[float]] = {}
    seconds, split, detector = [], None, None
    for seed in range(seeds):
        split = TASKS[task](seed)
        cls = getattr(advad, method)
        common = {name: v for name, v in {"seed": seed, "device": device}.items() if name in cls().get_params()}
        detector = cls(**settings, **common)
        clock = time.process_time if device == "cpu" else time.perf_counter  # one thread's own, whatever else runs
        start = clock()
        detector.fit(split.train, split.train_y, progress=False)
        seconds.append(clock() - start)
        for name, value in figures_of(detector, split).items():
            values.setdefault(name, []).append(value)
    assert split is not None
    assert detector is not None
    networks = getattr(detector, "networks_", None)  # the classical ones have none
    n_parameters = sum(p.numel() for p in networks.parameters()) if networks else 0
    defaults = {name: p.default for name, p in inspect.signature(type(detector)).parameters.items()}
    given = {name: v for name, v in settings.items() if defaults[name] != v}
    given |= {name: split.settings[name] for name in SIZES if split.settings[name]}
    contaminants = split.settings["contaminants"] if split.settings["contamination"] else []
    rows = []
    for metric, found in values.items():
        spread = statistics.stdev(found) if seeds > 1 else ""
        rows.append(
            {
                "method": method,
                "dataset": {"cifar10_part": "CIFAR10"}.get(split.settings["images"], split.settings["images"]),
                "protocol": split.settings["protocol"],
                "normal": split.normal[0],
                "contamination": split.settings["contamination"] or "",
                "contaminants": "+".join(map(str, contaminants)),
                "labelled": split.settings["labelled"] or "",
                "metric": metric,
                "value": f"{statistics.mean(found):.4f}",
                "spread": spread and f"{spread:.4f}",
                "n_seeds": seeds,
                "seconds": f"{statistics.mean(seconds):.3g}",
                "parameters": n_parameters,
                "settings": json.dumps(given),
                "hardware": hardware(device),
                "date": datetime.date.today().isoformat(),
                "command": f"python -m tests.benchmarks.methods {method} --budget {budget} --device {device}",
            }
        )
        row = rows[-1]
        print(
            f"{method:12} {task:22} {metric:34} {row['value']} ± {row['spread']}  (n = {seeds})  published "
            f"{published(method, split, metric):>6}  {row['seconds']:>5} s  {n_parameters / 1e6:.2f} M parameters",
            flush=True,
        )
    return rows


@click.command()
@click.argument("methods", nargs=-1, type=click.Choice(sorted(SETTINGS)))
@click.option("--budget", type=click.Choice(["lab", "paper"]), default="lab", show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--write", "keep", is_flag=True, help="Put the rows into data/measured.csv.")
def main(methods: tuple[str, ...], budget: str, device: str, seeds: int, keep: bool) -> None:
    """Train METHODS (all unless named) and print their figures beside the published ones."""
    torch.set_num_threads(1)
    for method in methods or sorted(SETTINGS):
        for task in TASKS_OF[method]:
            rows = rows_of(method, task, budget, device, seeds)
            if keep:
                write_lines(rows)


if __name__ == "__main__":
    main()
