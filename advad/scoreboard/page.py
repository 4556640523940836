"""The scoreboard as a page: one table a data set and metric, with each pair of figures drawn on a common scale."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from advad.pages.html import write_html
from advad.scoreboard.rows import Row, ours, signed

NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}
PROTOCOLS = {
    "one_class": "one class normal, the set's own test part",
    "merged": "one class normal, 80 % of the normal images train",
    "leave_one_out": "one class anomalous, all others normal, 80:20",
}
WIDTH, HEIGHT, EDGE = 200, 26, 8  # of a drawing, in CSS pixels


def write_board_page(path: Path, rows: Sequence[Row]) -> Path:
    """Write the page; return its path."""
    compared = [row for row in rows if row.difference is not None]
    head = '<p class="kicker">advad</p><h1>Ours beside the published</h1>'
    if compared:
        below = sum(row.value < row.published for row in compared if row.published is not None)
        lead = f"{len(rows)} figures: {len(compared)} with a published counterpart, {below} of them below it."
    else:
        lead = f"{len(rows)} figures: none with a published counterpart."
    rules = "Ours: last epoch, no choice made on test data, mean ± standard deviation over n seeds."
    hardware = {row.hardware for row in rows if row.hardware}
    if len(hardware) == 1:
        rules += f" Computed on {html.escape(min(hardware))}."
    key = (
        f'<p class="facts key"><span>{_sign("ours")} ours, with ± its deviation</span>'
        f"<span>{_sign('published')} published</span></p>"
    )
    several = len(hardware) > 1
    by_topic = itertools.groupby(sorted(rows, key=_topic), _topic)
    sections = "".join(_section(list(group), several) for _, group in by_topic)
    body = f'<header>{head}<p class="facts">{lead}<br>{rules}</p>{key}</header><main>{sections}</main>'
    write_html(path, "advad: ours beside the published", body, "board")
    return path


def _topic(row: Row) -> tuple[str, ...]:
    return row.dataset, row.protocol, row.contamination, row.labelled, row.contaminants, row.metric


def _section(rows: list[Row], several: bool) -> str:
    """Return the table of one data set, protocol and metric; with each row's hardware, where there are `several`."""
    first = rows[0]
    metric = NAMES.get(first.metric, first.metric.replace("_", " "))
    shares = [f"{float(first.contamination):.1%} contamination"] if first.contamination else []
    shares += [f"{float(first.labelled):.1%} labelled anomalies"] if first.labelled else []
    facts = " · ".join([PROTOCOLS.get(first.protocol, first.protocol), *shares])
    low, high = _scale(rows)
    axis = f'<span class="axis"><span>{low:.2f}</span><span>{high:.2f}</span></span>'
    words = "".join(f'<th scope="col">{name}</th>' for name in ("Normal", "Method"))
    words += "".join(f'<th scope="col" class="number">{name}</th>' for name in ("Published", "Ours", "Difference"))
    heads = f'{words}<th scope="col" class="drawn"><span class="unseen">Drawn</span>{axis}</th>'
    heads += '<th scope="col">Notes</th>'
    groups = [list(group) for _, group in itertools.groupby(rows, lambda row: (row.normal, row.n_classes))]
    body = "".join(f"<tbody>{_group(group, low, high, several)}</tbody>" for group in groups)
    title = html.escape(f"{first.dataset}: {metric}")
    return (
        f'<section class="lesson"><h2>{title}</h2><p class="facts">{html.escape(facts)}</p><div class="wide">'
        f'<table class="lessons board"><thead><tr>{heads}</tr></thead>{body}</table></div></section>'
    )


def _group(rows: list[Row], low: float, high: float, several: bool) -> str:
    """Return the rows of one normal class, which is written once."""
    normal = f"mean of {rows[0].n_classes}" if rows[0].normal == "mean" else rows[0].normal
    head = f'<td class="group" rowspan="{len(rows)}">{html.escape(normal)}</td>'
    lines = [_cells(row, low, high, several) for row in rows]
    return "".join(f"<tr>{head if number == 0 else ''}{line}</tr>" for number, line in enumerate(lines))


def _cells(row: Row, low: float, high: float, several: bool) -> str:
    published = "–"
    if row.published is not None:
        published = f'{row.published:.3f}<br><span class="facts">{html.escape(row.paper)}</span>'
    value, _, n = ours(row).rstrip(")").partition(" (")
    difference = "" if row.difference is None else signed(row.difference)
    settings = ", ".join(f"{name}={value}" for name, value in (row.settings | row.sizes).items()) or "defaults"
    about = html.escape(" · ".join([settings, row.source, *[row.hardware] * several]))
    flags = "".join(f'<span class="flag">{html.escape(flag)}</span>' for flag in row.flags)
    return (
        f'<th scope="row">{html.escape(row.name)}<br><span class="facts settings">{about}</span></th>'
        f'<td class="number">{published}</td><td class="number">{value}<br><span class="facts">{n}</span></td>'
        f'<td class="number">{difference}</td><td class="drawn">{_drawing(row, low, high)}</td><td>{flags}</td>'
    )


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the ends of a scale, in twentieths; one figure in ten may lie below it, or it would squeeze the others."""
    values = sorted(value for row in rows for value in (row.value, row.published) if value is not None)
    low, high = math.floor(values[len(values) // 10] * 20 + 1e-9) / 20, math.ceil(values[-1] * 20 - 1e-9) / 20
    return low, max(high, low + 0.05)


def _drawing(row: Row, low: float, high: float) -> str:
    """Return both figures on the scale as SVG: a disc with its deviation, a diamond, and what lies between them.

    What lies below the scale is an arrow at its end.
    """

    def at(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (min(max(value, low), high) - low) / (high - low), 1)

    middle, mine = HEIGHT / 2, at(row.value)
    parts = [f'<line class="grid" x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}"/>']
    if row.published is not None:
        theirs = at(row.published)
        parts.append(f'<line class="gap" x1="{mine}" x2="{theirs}" y1="{middle}" y2="{middle}"/>')
    if row.spread is not None:
        left, right = at(row.value - row.spread), at(row.value + row.spread)
        parts.append(f'<path class="spread" d="M{left} {middle}H{right}M{left} 7V19M{right} 7V19"/>')
    if row.published is not None:
        parts.append(_diamond(at(row.published), middle))
    below = row.value < low
    arrow = f'<path class="ours" d="M{mine - 5} {middle}l9 -6v12z"/>'
    parts.append(arrow if below else f'<circle class="ours" cx="{mine}" cy="{middle}" r="4.5"/>')
    label = f"ours {row.value:.3f}" + ("" if row.published is None else f", published {row.published:.3f}")
    return f'<svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'


def _diamond(x: float, y: float) -> str:
    return f'<path class="published" d="M{x} {y - 6.5}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>'


def _sign(kind: str) -> str:
    """Return a sign of the key."""
    ours = '<path class="spread" d="M2 9H26M2 4V14M26 4V14"/><circle class="ours" cx="14" cy="9" r="4.5"/>'
    return f'<svg width="28" height="18" aria-hidden="true">{ours if kind == "ours" else _diamond(14, 9)}</svg>'
