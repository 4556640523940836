"""What an ensemble of attacks leaves of each method: the tables of `data/findings/attacks.md`."""

from __future__ import annotations

from typing import Any

from advad.checks import check_choice
from advad.environment import shipped

FILE = shipped("data/findings/attacks.md")


def attack_table(dataset: str) -> list[dict[str, Any]]:
    """Return what the ensemble of attacks left of each method's AUROC (`tests.benchmarks.attack_methods` measures it).

    Parameters
    ----------
    dataset : str
        "digits" or "MNIST".

    Returns
    -------
    list of dict
        One for each method: "method"; the AUROCs "AUROC", "normals attacked" and "anomalies attacked"; "Square wins",
        the share of images on which Square finds more than all attacks by gradient, the larger of both directions, in
        [0, 1], or None for a method without a gradient.

    Raises
    ------
    FileNotFoundError
        No such file: the installation is incomplete.
    ValueError
        A dataset without a table.
    """
    if not FILE.is_file():
        raise FileNotFoundError(f"attack_table: no {FILE}. It comes with advad: install advad again, or use a clone.")
    tables: dict[str, list[list[str]]] = {}
    heading = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif heading and line.startswith("|") and not line.startswith("|-"):
            tables.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    check_choice("attack_table", "dataset", dataset, tables)
    columns, *lines = tables[dataset]
    return [_row(dict(zip(columns, cells, strict=True))) for cells in lines]


def _row(cells: dict[str, str]) -> dict[str, Any]:
    aurocs = {name: float(cells[name]) for name in ("AUROC", "normals attacked", "anomalies attacked")}
    wins = [float(part.strip(" %")) / 100 for part in cells["Square wins"].split("/") if part != "–"]
    return {"method": cells["method"], **aurocs, "Square wins": max(wins, default=None)}
