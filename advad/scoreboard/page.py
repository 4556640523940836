"""The scoreboard as a page: one table for each data set and metric, with each pair of values on a common scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advad.pages.html import render, write_html
from advad.scoreboard.rows import Row, ours, signed

NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}
PROTOCOLS = {
    "one_class": "one class normal, the set's own test part",
    "merged": "one class normal, 80 % of the normal images train",
    "leave_one_out": "one class anomalous, all others normal, 80:20",
}
WIDTH, HEIGHT, EDGE = 200, 26, 8  # of a plot, in CSS pixels


def write_board_page(path: Path, rows: Sequence[Row]) -> Path:
    """Write the page; return its path."""
    lead, rules, sections = content(rows)
    body = render("board", lead=lead, rules=rules, sections=sections)
    return write_html(path, "advad: our results beside the published values", body, "board")


def content(rows: Sequence[Row]) -> tuple[str, str, list[dict[str, Any]]]:
    """Return what the templates show of rows: how many there are, how they came about, and the tables."""
    compared = [row for row in rows if row.difference is not None]
    if compared:
        below = sum(row.value < row.published for row in compared if row.published is not None)
        lead = f"{len(rows)} results: {len(compared)} with a published counterpart, {below} of them below it."
    else:
        lead = f"{len(rows)} results: none with a published counterpart."
    rules = "Ours: last epoch, no choice made on test data, mean ± standard deviation over n seeds."
    hardware = {row.hardware for row in rows if row.hardware}
    if len(hardware) == 1:
        rules += f" Computed on {min(hardware)}."
    by_topic = itertools.groupby(sorted(rows, key=_topic), _topic)
    return lead, rules, [_section(list(group), several_machines=len(hardware) > 1) for _, group in by_topic]


def _topic(row: Row) -> tuple[str, ...]:
    return row.dataset, row.protocol, row.contamination, row.labelled, row.contaminants, row.metric


def _section(rows: list[Row], several_machines: bool) -> dict[str, Any]:
    """Return the table of one data set, protocol and metric; with each row's hardware where there are several."""
    first = rows[0]
    metric = NAMES.get(first.metric, first.metric.replace("_", " "))
    classes = f" by {first.contaminants}" if first.contaminants else ""
    shares = [f"{float(first.contamination):.1%} contamination{classes}"] if first.contamination else []
    shares += [f"{float(first.labelled):.1%} labelled anomalies"] if first.labelled else []
    low, high = _scale(rows)
    sources = {row.source for row in rows}
    several = {"source": len(sources) > 1, "hardware": several_machines}
    groups = [list(group) for _, group in itertools.groupby(rows, lambda row: (row.normal, row.n_classes))]
    return {
        "title": f"{first.dataset}: {metric}",
        "short": ", ".join([first.protocol.replace("_", " "), *shares]),
        "facts": " · ".join(
            [PROTOCOLS.get(first.protocol, first.protocol), *shares, *([] if several["source"] else sources)]
        ),
        "count": f"{len(rows)} result{'s' * (len(rows) != 1)}",
        "low": low,
        "high": high,
        "groups": [
            {
                "normal": f"mean of {group[0].n_classes}" if group[0].normal == "mean" else group[0].normal,
                "cells": [_cell(row, low, high, several) for row in group],
            }
            for group in groups
        ],
    }


def _cell(row: Row, low: float, high: float, several: dict[str, bool]) -> dict[str, Any]:
    """Return what the table shows of a row; what all rows of the table share stands above it."""
    value, _, n = ours(row).rstrip(")").partition(" (")
    settings = ", ".join(f"{name}={value}" for name, value in (row.settings | row.sizes).items()) or "defaults"
    about = filter(None, [getattr(row, name) for name, differs in several.items() if differs])
    return {
        "name": row.name,
        "about": " · ".join([settings, *about, *_statistic(row)]),
        "published": row.published,
        "paper": row.paper,
        "value": value,
        "n": n,
        "difference": "" if row.difference is None else signed(row.difference),
        "plot": _plot(row, low, high),
        "flags": row.flags,
    }


def _statistic(row: Row) -> list[str]:
    return [f"the best cheap statistic alone: {row.yardstick}"] if row.yardstick else []


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the ends of a scale, in twentieths; one value in ten may lie below it, or it would squeeze the others."""
    values = sorted(value for row in rows for value in (row.value, row.published) if value is not None)
    low, high = math.floor(values[len(values) // 10] * 20 + 1e-9) / 20, math.ceil(values[-1] * 20 - 1e-9) / 20
    return low, max(high, low + 0.05)


def _plot(row: Row, low: float, high: float) -> dict[str, Any]:
    """Return where both values stand on the scale, in CSS pixels; a value below the scale stands at its end."""

    def at(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (min(max(value, low), high) - low) / (high - low), 1)

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": at(low),
        "right": at(high),
        "ours": at(row.value),
        "published": None if row.published is None else at(row.published),
        "spread": None if row.spread is None else (at(row.value - row.spread), at(row.value + row.spread)),
        "below": row.value < low,
        "label": f"ours {row.value:.3f}" + ("" if row.published is None else f", published {row.published:.3f}"),
    }
