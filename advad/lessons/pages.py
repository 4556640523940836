"""Executed lessons as pages: each lesson on its own, and an index of all their figures and findings.

The pages need no network. Next to them lies `plotly.min.js`, taken from the installed plotly; formulas are MathML,
which browsers draw themselves; the style is in every page.
"""

from __future__ import annotations

import html
import json
import os
import platform
import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

from advad.pages.html import write_html
from advad.pages.markdown import to_html

if TYPE_CHECKING:
    from advad.lessons.outcome import LessonResult

PLOTLY = "application/vnd.plotly.v1+json"


def write_page(notebook: NotebookNode, path: Path, *, pictures: Path | None = None) -> None:
    """Write an executed notebook as a page of its own.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, without widgets (see `advad.lessons.run.tidy`). Not changed.
    path : Path
        The page; `plotly.min.js` is written beside it once.
    pictures : Path, optional
        The folder that pictures in its text are relative to.
    """
    from nbconvert.exporters import HTMLExporter

    copy = deepcopy(notebook)
    for index, cell in enumerate(copy.cells):
        outputs = []
        for number, output in enumerate(cell.get("outputs", [])):
            about = output.get("metadata", {}).get("advad", {})
            if about.get("kind") == "finding":  # the figure before it has it as its caption
                continue
            if card := _figure(output, f"figure-{index}-{number}"):
                output["data"] = {"text/html": card}
            outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", lambda source: to_html(source, pictures))
    body, _ = exporter.from_notebook_node(copy)
    link = html.escape(path.with_suffix(".ipynb").name)
    header = f'<p class="kicker">advad lesson, executed</p><p class="facts"><a href="{link}">{link}</a></p>'
    write_html(path, title(notebook) or path.stem, f"<header>{header}</header><main>{body}</main>", "executed")


def write_gallery(folder: str | Path, rows: Sequence[LessonResult]) -> Path:
    """Write `index.html`: what ran, what each lesson found, and all its figures; return its path.

    Parameters
    ----------
    folder : path
        Where the executed lessons are.
    rows : sequence of LessonResult
        In the order of the lessons; those that failed are shown as failed.
    """
    folder = Path(folder)
    failed = sum(bool(row.error) for row in rows)
    count = f"{len(rows)} lesson{'s' * (len(rows) != 1)}"
    verdict = ("bad", f"{failed} of {count} failed") if failed else ("good", f"{count}, all ran")
    seconds = sum(row.seconds for row in rows)
    facts = f'<span class="{verdict[0]}">{verdict[1]}</span> · {seconds:.0f} s · {_settings(rows)}<br>{_versions(rows)}'
    head = f'<p class="kicker">advad</p><h1>What the lessons found</h1><p class="facts">{facts}</p>'
    columns = '<th scope="col">Lesson</th><th scope="col">Finding</th><th scope="col" class="number">Seconds</th>'
    columns += '<th scope="col">Device</th><th scope="col">Files</th>'
    body = "".join(_table_row(row, folder) for row in rows)
    table = f'<table class="lessons"><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>'
    sections = "".join(_section(row, folder) for row in rows)
    path = folder / "index.html"
    write_html(
        path,
        "advad: what the lessons found",
        f'<header>{head}</header><main><div class="wide">{table}</div>{sections}</main>',
        "gallery",
    )
    return path


def title(notebook: NotebookNode) -> str:
    """Return a notebook's first heading, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#\s+(.+?)\s*$", cell.source, re.MULTILINE)):
            return re.sub(r"[`*]", "", found[1])
    return ""


def figures(notebook: NotebookNode, prefix: str) -> list[str]:
    """Return the figures and pictures of an executed notebook as HTML, each with its caption and text alternative."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return list(filter(None, (_figure(output, f"{prefix}-{number}") for number, output in enumerate(outputs))))


def _figure(output: NotebookNode, name: str) -> str:
    """Return an output as a card; "" where it is no figure."""
    data, about = output.get("data", {}), output.get("metadata", {}).get("advad", {})
    script = ""
    if PLOTLY in data:
        element, script = _plot(data[PLOTLY], about.get("alt"), name)
    elif about.get("kind") == "picture":
        element = re.findall(r"<img [^>]*>", data["text/html"])[0]
    elif "image/png" in data:
        alt = html.escape(data.get("text/plain", "Picture"))
        element = f'<img src="data:image/png;base64,{data["image/png"].strip()}" alt="{alt}">'
    else:
        return ""
    caption = f"<figcaption>{html.escape(about['finding'])}</figcaption>" if about.get("finding") else ""
    return f'<figure class="card"><div class="paper">{element}</div>{caption}</figure>{script}'


def _plot(payload: dict[str, Any], alt: str | None, name: str) -> tuple[str, str]:
    """Return the place of a plotly figure, and the script that draws it there."""
    layout = dict(payload.get("layout", {}))
    width = layout.pop("width", None)  # the page's own, at most the author's
    limit = f' style="max-width:{int(width)}px"' if width else ""
    settings = payload.get("config", {}) | {"responsive": True, "displayModeBar": False}  # its buttons lie on the title
    parts = [payload.get("data", []), layout | {"autosize": True}, settings]
    arguments = ",".join(json.dumps(part).replace("</", "<\\/") for part in parts)
    label = html.escape(alt or _plot_title(layout) or "Figure")
    place = f'<div id="{name}" class="plot" role="img" aria-label="{label}"{limit}></div>'
    return place, f"<script>Plotly.newPlot({json.dumps(name)},{arguments})</script>"


def _plot_title(layout: dict[str, Any]) -> str:
    text = layout.get("title", "")
    return text.get("text", "") if isinstance(text, dict) else text


def _links(row: LessonResult, folder: Path) -> str:
    found = [(label, path) for label, path in (("page", row.page), ("notebook", row.notebook)) if path.is_file()]
    parts = [
        f'<a href="{html.escape(Path(os.path.relpath(path, folder)).as_posix())}">{label}'
        f'<span class="unseen"> of {html.escape(row.lesson)}</span></a>'
        for label, path in found
    ]
    return " · ".join(parts)


def _table_row(row: LessonResult, folder: Path) -> str:
    name, device = html.escape(row.lesson), html.escape(row.device)
    finding = f'<span class="bad">Failed.</span> {html.escape(row.error)}' if row.error else html.escape(row.finding)
    seconds = f"{row.seconds:.1f}" if row.seconds else ""
    return (
        f'<tr><th scope="row"><a href="#{name}">{name}</a></th><td>{finding}</td><td class="number">{seconds}</td>'
        f"<td>{device}</td><td>{_links(row, folder)}</td></tr>"
    )


def _section(row: LessonResult, folder: Path) -> str:
    notebook = nbformat.read(row.notebook, as_version=4) if row.notebook.is_file() else nbformat.v4.new_notebook()
    heading = html.escape(title(notebook) or row.lesson)
    text = f'<span class="bad">Failed.</span> {html.escape(row.error)}' if row.error else html.escape(row.finding)
    cards = "".join(f"<div>{card}</div>" for card in figures(notebook, row.lesson))
    return (
        f'<section class="lesson" id="{html.escape(row.lesson)}"><h2>{heading}</h2><p class="lead">{text}</p>'
        f'<p class="facts">{_links(row, folder)}</p><div class="figures">{cards}</div></section>'
    )


def _settings(rows: Sequence[LessonResult]) -> str:
    profiles = dict.fromkeys(row.results.get("parameters", {}).get("profile", "") for row in rows)
    devices = dict.fromkeys(row.device for row in rows)
    parts = [*(f"profile {profile}" for profile in profiles if profile), *filter(None, devices)]
    return html.escape(" · ".join([*parts, f"{platform.system()} {platform.machine()}"]))


def _versions(rows: Sequence[LessonResult]) -> str:
    versions = next((row.results["versions"] for row in rows if "versions" in row.results), {})
    return html.escape(" · ".join(f"{name} {version}" for name, version in versions.items()))
