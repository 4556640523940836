"""The papers' published values, to stand beside ours: `data/published.csv`, described in `data/README.md`."""

from __future__ import annotations

import csv
from typing import Any

from advad.checks import check_choice
from advad.environment import shipped

FILE = shipped("data/published.csv")


def published(**wanted: str) -> list[dict[str, Any]]:
    """Return the published values whose columns have the wanted texts.

    Parameters
    ----------
    **wanted
        A column and its text, such as `paper="arae", table="5"`; the columns are those of `data/README.md`.

    Returns
    -------
    list of dict
        One for each value: all columns as printed, but "value" as a float, and the note's settings
        (`attack_radius=0.05`) as a dictionary of texts in "settings".

    Raises
    ------
    FileNotFoundError
        No such file: the installation is incomplete.
    ValueError
        A column that there is not.
    """
    if not FILE.is_file():
        raise FileNotFoundError(f"published: no {FILE}. It comes with advad: install advad again, or use a clone.")
    with FILE.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        for column in wanted:
            check_choice("published", "each column", column, columns)
        rows = [row for row in reader if all(row[column] == text for column, text in wanted.items())]
    return [row | {"value": float(row["value"]), "settings": _settings(row["note"])} for row in rows]


def _settings(note: str) -> dict[str, str]:
    """Return the settings that open a note: "attack_radius=0.05; in words" -> {"attack_radius": "0.05"}."""
    pairs = (item.split("=", 1) for item in note.split("; ") if "=" in item and " " not in item.split("=")[0])
    return {name: text for name, text in pairs}
