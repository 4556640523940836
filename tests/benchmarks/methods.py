"""Each method on real images, beside the published figure. `python -m tests.benchmarks.methods [METHOD …] [--write]`.

Last epoch, no choice made on test data, all test images. `--write` puts the rows into data/measured.csv, in place of
older rows of the same method, data, metric, budget and hardware. Needs ADVAD_DATA (or data/) with MNIST, and
cifar10_part.npz for the GANs.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import json
import platform
import statistics
import time

import click
import torch

import advad
from advad.datasets.load import PART_OF
from advad.scoreboard.measured import write_lines
from advad.scoreboard.rows import SIZES, Row, compare

RELU = {"activation": "relu"}
SHORT = {"epochs": 8, "conv_width": 8, "learning_rate": 1e-3}  # 664 steps where the paper has 12,000: larger ones
# method -> the settings of its "lab" budget, some minutes on one core of a laptop; "paper" are the published ones
SETTINGS = {
    "AE": {"epochs": 40},
    "DAE": {"epochs": 40, "activation": "sigmoid"},  # "the same network" as ARAE
    "ARAE": {"epochs": 40, "attack_steps": 5, **RELU},
    "ALCN": {"epochs": 40},
    "OLED": {"epochs": 12},
    "VAE": {"epochs": 40},
    **{name: {} for name in ("DeepSVDD", "DeepSAD", "OCSVM", "LOF", "IForest", "KDE")},
    "PCA": {"n_components": 32},
    "AGAD": {"epochs": 10},
    "GANomaly": SHORT,
    "SkipGANomaly": SHORT,
    **{name: {} for name in ("AAE", "ITSR", "Berg", "FAnoGAN", "AnoGAN", "GeoTrans")},
    "EGBAD": {"epochs": 20, "width": 8},
    "ADAE": {"epochs": 20, "conv_width": 8},
    "LSA": {"epochs": 20},
    "OCGAN": {"epochs": 10, "mining_start": 5},
}


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
        # Beggel et al. 2019, Sec. 5: thresholds at the 90th percentile of the training errors, and for "either_or" also
        # at the 10th percentile of the training likelihoods
        decisions = {
            "": scores > advad.threshold_at(detector.anomaly_score(split.train), 0.1),
            "_holdout": scores > advad.threshold_at(detector.anomaly_score(split.holdout), 0.1),
        }
        rules = detector.decisions(split.test, split.train, 0.1)
        decisions |= {f"_{rule}": alarms for rule, alarms in rules.items()}
        normal = ~split.test_is_anomaly
        contaminating = torch.isin(split.test_labels, torch.tensor(split.contaminants))
        for part, rows in {"observed": normal | contaminating, "unobserved": normal | ~contaminating}.items():
            truth = split.test_is_anomaly[rows]
            found[f"auroc_{part}"] = advad.auroc(truth, scores[rows.numpy()])
            for rule, alarms in decisions.items():
                stem = f"balanced_accuracy_{part}_holdout" if rule == "_holdout" else f"balanced_accuracy{rule}_{part}"
                found[stem] = advad.balanced_accuracy(truth, alarms[rows.numpy()].astype(float), 0.5)
    return found


def published(method: str, split: advad.Split, metric: str, settings: dict[str, object] | None = None) -> str:
    """Return the published figure for this method, data and metric, or a dash."""
    rate = split.settings["contamination"]
    row = Row(
        method=method,
        dataset=split.settings["images"],
        protocol=split.settings["protocol"],
        normal=str(split.normal[0]),
        metric=metric,
        value=0.0,
        n=3,
        settings=settings or {},
        source="bench",
        contamination=f"{rate:g}" if rate else "",
        contaminants="+".join(map(str, split.settings["contaminants"])) if rate else "",
        labelled=f"{split.settings['labelled']:g}" if split.settings["labelled"] else "",
    )
    found = compare(row).published
    return "–" if found is None else f"{found:.3f}"


def hardware(device: str) -> str:
    """Return what the figures were measured on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread"


def rows_of(method: str, task: str, budget: str, device: str, seeds: int) -> list[dict[str, object]]:
    """Train one method with several seeds on one task; return its rows of measured.csv and print them."""
    values: dict[str, list[float]] = {}
    seconds, split, detector, settings, dataset = [], None, None, {}, ""
    for seed in range(seeds):
        split = TASKS[task](seed)
        cls = getattr(advad, method)
        dataset = PART_OF.get(split.settings["images"], split.settings["images"])
        settings = SETTINGS[method] if budget == "lab" else cls.paper_settings(dataset)
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
                "dataset": dataset,
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
        theirs = published(method, split, metric, settings)
        print(
            f"{method:12} {task:22} {metric:34} {row['value']} ± {row['spread']}  (n = {seeds})  published "
            f"{theirs:>6}  {row['seconds']:>5} s  {n_parameters / 1e6:.2f} M parameters",
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
