"""The rows of the scoreboard: where our results come from, and which published value each is compared with."""

from __future__ import annotations

import csv
import functools
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import advad
from advad.datasets.load import PART_OF
from advad.experiments.evaluate import PIXEL_METRICS, STATISTIC
from advad.experiments.run import with_new_names
from advad.experiments.sweep import collected
from advad.files import expanded
from advad.scoreboard.published import FILE as PUBLISHED
from advad.scoreboard.published import published

MEASURED = PUBLISHED.with_name("measured.csv")
OWN_PAPER = {"ARAE": "arae", "ALCN": "alcn", "ITSR": "itsr", "Berg": "berg", "AGAD": "agad"}
PRINTED = {  # our name -> theirs, where they differ (data/README.md, "Names of methods")
    "ALCN": "DAE+ALCN",
    "DeepSVDD": "DSVDD",
    "DeepSAD": "Deep SAD",
    "FAnoGAN": "f-AnoGAN",
    "SkipGANomaly": "Skip-GANomaly",
}
DAE_NOISE = {"uniform": "DAE", "speckle": "DAE+Random Noise", "gaussian": "DAE+Gaussian Noise"}
# (folder, its normal class) -> data set, protocol and normal class as the papers print them
FOLDERS = {
    ("mvtec_bottle", "good"): ("MVTecAD", "two_class", "bottle"),
    ("plantvillage_pepper", "all-but-bacterial_spot"): ("PlantVillage", "two_class", "mean"),
    ("BrainMRI", "no"): ("BrainMRI", "two_class", "normal"),
}
SCORES = {"residual": "L_r", "normalised_residual": "L_n", "origin": "L_o", "discriminator": "A"}  # Berg, Table 2
GENERATORS = {"unet": "UNet", "unet++": "UNet++"}  # AGAD, Tables 4 and 9
EITHER_OR = ("AAE", "ITSR")  # Beggel et al. 2019 judge these by error or likelihood, and their AE by the error alone
DOUBTS = {  # what data/README.md says of a paper's own values
    "alcn": "paper: own 80:20 split",
    "agad": "paper: best test epoch?",
}
ENOUGH_SEEDS = 3
SIZES = ("train_size", "test_size")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One of our results, and the published value that it can be compared with.

    Attributes
    ----------
    method, dataset, protocol, normal, contamination, labelled, metric : str
        As in `data/README.md`; "" for none. `normal` is "mean" over `n_classes` classes, or "mean-of-pairs" over
        `n_classes` pairs, "mean-of-4" over so many draws of four classes, too.
    contaminants : str
        The contaminating classes, "2" or "2+3"; "" where that is not known.
    n_classes : int
        1 unless a mean.
    value : float
        Mean over seeds.
    spread : float, optional
        Their standard deviation; None for a single seed.
    n : int
        Number of seeds.
    settings : dict
        The method's arguments that differ from its defaults.
    source, hardware : str
        The file or sweep that the result is from, and what it was computed on.
    sizes : dict
        "train_size" and "test_size", where a part of the images was drawn.
    seconds : float
        Training of one seed.
    weights : int
        Trainable, of all networks.
    date : str
        Of the last run, ISO 8601.
    command : str
        What to run to get it again; "" where that is not known.
    splits : tuple of str
        Hashes of the image indices of its splits, one per run; none where they are not known.
    flags : tuple of str
        What must be known before comparing.
    yardstick : str
        What the best cheap statistic of the same test images reaches alone: "sharpness higher 0.962"; "" where that is
        not known.
    published : float, optional
        None where no paper has such a value.
    paper : str
        Where it is printed: "arae, table 2".
    """

    method: str
    dataset: str
    protocol: str
    normal: str
    metric: str
    value: float
    n: int
    contamination: str = ""
    contaminants: str = ""
    labelled: str = ""
    n_classes: int = 1
    spread: float | None = None
    settings: dict[str, Any]
    source: str
    hardware: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    weights: int = 0
    date: str = ""
    command: str = ""
    splits: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    yardstick: str = ""
    published: float | None = None
    paper: str = ""

    @property
    def name(self) -> str:
        """The method, or the variant of it that the papers have a name for: "ARAE-R", "DAE+Random Noise"."""
        return printed_name(self.method, self.settings) if self.method in ("ARAE", "DAE") else self.method

    @property
    def difference(self) -> float | None:
        """Ours − published."""
        return None if self.published is None else self.value - self.published


def measured_rows(path: Path = MEASURED) -> list[Row]:
    """Return the project's own results, as `data/measured.csv` holds them, and the means over their classes.

    The file has single classes only. The spread of a mean over k of them is √(Σ s²) / k, with s the spreads of the
    classes, whose runs are independent of each other.
    """
    if not path.is_file():
        return []
    rows: list[Row] = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            settings = json.loads(line["settings"])
            sizes = {name: settings.pop(name) for name in SIZES if name in settings}
            row = Row(
                method=line["method"],
                dataset=line["dataset"],
                protocol=line["protocol"],
                normal=line["normal"],
                metric=line["metric"],
                hardware=line["hardware"],
                contamination=line["contamination"],
                labelled=line["labelled"],
                contaminants=line["contaminants"],
                value=float(line["value"]),
                spread=float(line["spread"]) if line["spread"] else None,
                n=int(line["n_seeds"]),
                settings=settings,
                sizes=sizes,
                source=f"data/{path.name}",
                seconds=float(line["seconds"]),
                weights=int(line["parameters"]),
                date=line["date"],
                command=line["command"],
                flags=(("lab budget",) if "--budget lab" in line["command"] else ()) + _subsets(sizes),
            )
            rows.append(row)
    return rows + _means(rows)


def mean_of(normal: str) -> str:
    """Return the name of the mean that a normal class counts in, or classes: "8" in "mean", "0+8" in "mean-of-pairs".

    Three classes and more count in "mean-of-3" and so on; "all-but-8", where class 8 is anomalous, in "mean".
    """
    n = normal.count("+") + 1
    return {1: "mean", 2: "mean-of-pairs"}.get(n, f"mean-of-{n}")


def _means(rows: Sequence[Row]) -> list[Row]:
    """Return the means over classes, pairs and so on of rows that differ in them only, where all have as many seeds."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        if row.normal.removeprefix("all-but-").replace("+", "").isdigit():
            same = [mean_of(row.normal)]
            same += [row.method, row.dataset, row.protocol, row.contamination, row.contaminants, row.labelled]
            same += [row.metric, row.settings, row.sizes, row.hardware, row.command, row.n]
            grouped.setdefault(json.dumps(same, sort_keys=True), []).append(row)
    return [
        replace(
            group[0],
            normal=mean_of(group[0].normal),
            n_classes=len(group),
            value=statistics.mean(row.value for row in group),
            spread=None
            if any(row.spread is None for row in group)
            else math.sqrt(sum((row.spread or 0) ** 2 for row in group)) / len(group),
            seconds=statistics.mean(row.seconds for row in group),
            date=max(row.date for row in group),
        )
        for group in grouped.values()
        if len(group) > 1
    ]


def sweep_rows(folder: str | Path) -> list[Row]:
    """Return the rows of a sweep's folder, see `rows_of`."""
    return rows_of(collected(folder), expanded(folder).name)


def rows_of(runs: Iterable[Mapping[str, Any]], source: str) -> list[Row]:
    """Return the rows of finished runs: one for each class and metric, and the means over classes.

    A mean over classes is taken for each seed first; its spread is that of these means.

    Parameters
    ----------
    runs : iterable of mappings
        As `results.json` holds them.
    source : str
        Name of their sweep.
    """
    grouped: dict[str, Any] = {}
    for results in runs:
        if "method" not in results:
            continue
        # What is off counts as absent: runs of earlier versions lack the settings that came later.
        on = {name: value for name, value in results["data"].items() if value}
        data = {name: value for name, value in on.items() if name not in ("seed", "normal", "anomalous")}
        others = {"contaminants", "labelled_classes"} if not ("contamination" in on or "labelled" in on) else set()
        data = {name: value for name, value in data.items() if name not in others}  # without contamination, no matter
        settings = changed_settings(results["method"], results["parameters"])
        key = json.dumps([results["method"], settings, data], sort_keys=True)
        by_class = grouped.setdefault(key, (results, settings, {}))[2]
        by_class.setdefault(_normal(results["data"]), {})[results["seed"]] = results
    rows = []
    for _, settings, by_class in grouped.values():
        runs_of_all = [results for by_seed in by_class.values() for results in by_seed.values()]
        for metric in dict.fromkeys(name for results in runs_of_all for name in results["metrics"]):
            of_class = {
                normal: {seed: results for seed, results in by_seed.items() if metric in results["metrics"]}
                for normal, by_seed in by_class.items()
            }
            of_class = {normal: by_seed for normal, by_seed in of_class.items() if by_seed}
            for normal, by_seed in of_class.items():
                values = [run["metrics"][metric]["value"] for run in by_seed.values()]
                rows.append(_row(source, list(by_seed.values()), settings, metric, normal, values, 1))
            of_mean: dict[str, dict[str, Any]] = {}
            for normal, by_seed in of_class.items() if not metric.startswith(STATISTIC) else ():
                of_mean.setdefault(mean_of(normal), {})[normal] = by_seed
            for name, group in of_mean.items():
                seeds = sorted(set.intersection(*map(set, group.values())))
                if len(group) < 2 or not seeds:
                    continue
                means = [
                    statistics.mean(by_seed[seed]["metrics"][metric]["value"] for by_seed in group.values())
                    for seed in seeds
                ]
                averaged = [by_seed[seed] for by_seed in group.values() for seed in seeds]
                rows.append(_row(source, averaged, settings, metric, name, means, len(group)))
    return rows


def _row(
    source: str, runs: Sequence[Mapping], settings: dict, metric: str, normal: str, values: list[float], classes: int
) -> Row:
    first = runs[0]
    data, hardware = first["data"], {run["device"] for run in runs}
    sizes = {name: data[name] for name in SIZES if data[name] is not None}
    resized = ["resized"] * (data["size"] is not None or data["channels"] is not None)
    return Row(
        method=first["method"],
        dataset=data["images"],
        protocol=data["protocol"],
        normal=normal,
        metric=metric,
        value=statistics.mean(values),
        spread=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
        n_classes=classes,
        contamination=f"{data['contamination']:g}" if data["contamination"] else "",
        labelled=f"{data['labelled']:g}" if data["labelled"] else "",
        contaminants="+".join(map(str, data["contaminants"])) if data["contamination"] else "",
        settings=settings,
        source=source,
        hardware=" and ".join(sorted(hardware)),
        sizes=sizes,
        seconds=statistics.mean(run["seconds"] for run in runs),
        weights=first["weights"],
        date=max(run["finished"] for run in runs)[:10],
        splits=tuple(sorted({run["indices"] for run in runs if "indices" in run})),
        flags=(*_subsets(sizes), *resized),
    )


def _subsets(sizes: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{name.removesuffix('_size')} subset" for name in sizes)


def _normal(data: Mapping[str, Any]) -> str:
    if "anomalous" in data:
        return "all-but-" + "+".join(map(str, data["anomalous"]))
    return "+".join(map(str, data["normal"]))


def changed_settings(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that differ from the method's defaults, or a precision other than float32."""
    defaults = json.loads(json.dumps(getattr(advad, method)().get_params(deep=False))) | {"precision": "float32"}
    return {
        name: value
        for name, value in with_new_names(method, parameters).items()
        if name not in ("seed", "device") and value != defaults.get(name)
    }


def printed_name(method: str, settings: Mapping[str, Any]) -> str:
    """Return what the papers call a method of ours with these settings."""
    printed = PRINTED.get(method, method)
    if method == "DAE":
        return DAE_NOISE[settings.get("noise", "uniform")]
    if method == "ARAE" and settings.get("target") == "reconstruction":
        return "ARAE-R"
    if method == "ARAE" and list(settings.get("attacks", ["linf"])) != ["linf"]:
        return "ARAE-A"
    if method in ("Berg", "FAnoGAN") and settings.get("score") in SCORES:
        return f"{printed} [{SCORES[settings['score']]}]"
    return printed


def printed_metric(method: str, metric: str) -> str:
    """Return what the papers call a metric of ours for a method; "" where it is by another rule than theirs.

    The radius at the end of "auroc_attacked_0.05" is a setting in print.
    """
    if metric.startswith("auroc_attacked_"):
        return "auroc_attacked"
    if metric == "best_f1":
        return "f1"
    if metric.startswith("balanced_accuracy_either_or_"):
        return metric.replace("_either_or", "")
    return "" if method in EITHER_OR and metric.startswith("balanced_accuracy_") else metric


def printed_place(row: Row) -> tuple[str, str, str]:
    """Return the data set, the protocol and the normal class of a row as the papers print them."""
    own = PART_OF.get(row.dataset, row.dataset), row.protocol, row.normal
    return FOLDERS.get((row.dataset, row.normal), own)


def is_same(row: Row, other: Mapping[str, Any]) -> bool:
    """Return whether a published value is for the same thing as a row of ours."""
    return (
        other["method"] == printed_name(row.method, row.settings)
        and (other["dataset"], other["protocol"], other["normal"]) == printed_place(row)
        and other["metric"] == printed_metric(row.method, row.metric)
        and _rate(other["contamination"]) == _rate(row.contamination)
        and _rate(other["labelled"]) == _rate(row.labelled)
        and (not row.normal.startswith("mean") or other["n_classes"] == str(row.n_classes))
        and row.contaminants in ("", other["settings"].get("contaminants", row.contaminants))
        and _generator(row) in ("", other["settings"].get("generator", ""))
        and _attack_radius(row.metric) == other["settings"].get("attack_radius", "")
    )


def _attack_radius(metric: str) -> str:
    """Return the radius of the attack that a metric of ours names, as the papers print it; "" for none."""
    return metric.removeprefix("auroc_attacked_") if metric.startswith("auroc_attacked_") else ""


def _generator(row: Row) -> str:
    """Return AGAD's generator as the paper prints it; "" for other methods."""
    return GENERATORS.get(row.settings.get("generator", ""), "naive") if row.method == "AGAD" else ""


def compare(row: Row) -> Row:
    """Return a row with the published value for the same thing, where there is one, and the flags of both."""
    own = OWN_PAPER.get(row.method, "")
    same = [other for other in _published_of(printed_name(row.method, row.settings)) if is_same(row, other)]
    flags = list(row.flags)
    if row.n < ENOUGH_SEEDS:
        flags.append("1 seed" if row.n == 1 else f"{row.n} seeds")
    if not same:
        return replace(row, flags=(*flags, *_unlike_paper(row)))
    best = min(same, key=lambda other: other["paper"] != own)
    flags += _unlike_paper(row, None if best["paper"] == own else best["paper"])
    if best["paper"] != own:
        flags.append("paper: a rival's figure")
    elif own in DOUBTS:
        flags.append(DOUBTS[own])
    place = f"table {best['table']}" if best["table"].isdigit() else best["table"]
    return replace(row, flags=tuple(flags), published=best["value"], paper=f"{best['paper']}, {place}")


def is_shown(row: Row) -> bool:
    """Return whether the scoreboard has a compared row: AUROC, metrics of pixels, or what a paper prints."""
    if row.metric.startswith(STATISTIC):  # it is shown beside the others
        return False
    return row.published is not None or row.metric.startswith("auroc") or row.metric in PIXEL_METRICS


def _unlike_paper(row: Row, paper: str | None = None) -> tuple[str, ...]:
    """Return a flag that names the arguments whose values are not those of the paper; none where it states none."""
    method = getattr(advad, row.method)
    try:
        stated = json.loads(json.dumps(method.paper_settings(row.dataset, paper)))
    except ValueError:  # the paper gives no settings for this data set
        return ()
    stated = changed_settings(row.method, stated)
    differing = [name for name in sorted({*stated, *row.settings}) if stated.get(name) != row.settings.get(name)]
    return (f"not the paper's {', '.join(differing)}",) if differing else ()


@functools.lru_cache(maxsize=64)
def _published_of(method: str) -> list[dict[str, Any]]:
    return published(method=method)


def _rate(text: str) -> float:
    return float(text or 0)


def ours(row: Row) -> str:
    """Return "0.894 ± 0.003 (n = 3)"."""
    spread = "" if row.spread is None else f" ± {row.spread:.3f}"
    return f"{row.value:.3f}{spread} (n = {row.n})"


def signed(number: float) -> str:
    """Return "+0.012" or "−0.012", with a true minus."""
    return f"{number:+.3f}".replace("-", "−")
