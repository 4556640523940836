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
from markupsafe import Markup
from nbformat import NotebookNode

from advad.files import expanded
from advad.pages.html import render, write_html
from advad.pages.markdown import to_html

if TYPE_CHECKING:
    from advad.lessons.outcome import LessonResult

PLOTLY = "application/vnd.plotly.v1+json"


def write_lesson_page(notebook: NotebookNode, path: Path, *, pictures: Path | None = None) -> Path:
    """Write an executed notebook as a page of its own; return its path.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, without widgets (see `advad.lessons.run.tidy`). Not changed.
    path : Path
        The page; `plotly.min.js` is written beside it once.
    pictures : Path, optional
        The folder that images in its text are relative to.
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
                output["data"] = {"text/html": str(card)}
            outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs
        if cell.metadata.get("jupyter", {}).get("source_hidden"):  # folded in JupyterLab; the notebook has it
            cell.metadata["transient"] = {"remove_source": True}
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", lambda source: to_html(source, pictures))
    body, _ = exporter.from_notebook_node(copy)
    page = render("lesson", notebook=path.with_suffix(".ipynb").name, body=Markup(body))
    return write_html(path, title(notebook) or path.stem, page, "executed")


def write_gallery(folder: str | Path, rows: Sequence[LessonResult]) -> Path:
    """Write `index.html`: what ran, what each lesson found, and all its figures; return its path.

    Parameters
    ----------
    folder : path
        Where the executed lessons are.
    rows : sequence of LessonResult
        In the order of the lessons; those that failed are shown as failed.
    """
    folder = expanded(folder)
    body = render(
        "gallery",
        failed=sum(bool(row.error) for row in rows),
        count=f"{len(rows)} lesson{'s' * (len(rows) != 1)}",
        seconds=sum(row.seconds for row in rows),
        settings=_settings(rows),
        versions=_versions(rows),
        rows=[_row(row, folder) for row in rows],
    )
    return write_html(folder / "index.html", "advad: what the lessons found", body, "gallery")


def title(notebook: NotebookNode) -> str:
    """Return a notebook's first heading, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^#\s+(.+?)\s*$", cell.source, re.MULTILINE)):
            return re.sub(r"[`*]", "", match[1])
    return ""


def figures(notebook: NotebookNode, prefix: str) -> list[Markup]:
    """Return the figures and images of an executed notebook as HTML, each with its caption and text alternative."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    cards = (_figure(output, f"{prefix}-{number}") for number, output in enumerate(outputs))
    return [card for card in cards if card]


def _figure(output: NotebookNode, name: str) -> Markup:
    """Return an output as a card; empty where it is no figure."""
    data, about = output.get("data", {}), output.get("metadata", {}).get("advad", {})
    values = {"name": name, "finding": about.get("finding", ""), "plot": "", "png": "", "width": 0, "style": ""}
    if PLOTLY in data:
        layout = dict(data[PLOTLY].get("layout", {}))
        width = layout.pop("width", None)  # the page's own, at most the author's
        alt = about.get("alt") or _plot_title(layout) or "Figure"
        return render("figure", **values | {"plot": _plot(data[PLOTLY], layout), "alt": alt, "width": int(width or 0)})
    if about.get("kind") in ("image", "picture"):  # "picture": notebooks of version 0.1
        return render("figure", **values | _image(data["text/html"]))
    if "image/png" in data:
        return render("figure", **values | {"png": _base64(data["image/png"]), "alt": data.get("text/plain", "Image")})
    return Markup()


def _image(markup: str) -> dict[str, Any]:
    """Return what the figure template needs of an image that `lesson.image` showed; nothing else passes."""
    source = re.search(r'src="data:image/png;base64,([^"]*)"', markup)
    alt = re.search(r'alt="([^"]*)"', markup)
    style = re.search(r"max-width:\d+px;image-rendering:(?:auto|pixelated)", markup)
    return {
        "png": _base64(source[1]) if source else "",
        "alt": html.unescape(alt[1]) if alt else "Image",
        "style": f"display:block;width:100%;{style[0]}" if style else "",
    }


def _base64(text: str) -> str:
    """Return base64 without any other character, so that nothing can leave the attribute that it stands in."""
    return re.sub(r"[^A-Za-z0-9+/=]", "", text)


def _plot(payload: dict[str, Any], layout: dict[str, Any]) -> Markup:
    """Return the arguments of `Plotly.newPlot` after the place, as text that is safe inside a script."""
    settings = payload.get("config", {}) | {"responsive": True, "displayModeBar": False}  # its buttons lie on the title
    parts = [payload.get("data", []), layout | {"autosize": True}, settings]
    return Markup(",".join(json.dumps(part).replace("<", "\\u003c") for part in parts))


def _plot_title(layout: dict[str, Any]) -> str:
    text = layout.get("title", "")
    return text.get("text", "") if isinstance(text, dict) else text


def _row(row: LessonResult, folder: Path) -> dict[str, Any]:
    """Return what the gallery's template shows of a lesson."""
    notebook = nbformat.read(row.notebook, as_version=4) if row.notebook.is_file() else nbformat.v4.new_notebook()
    files = [(label, path) for label, path in (("page", row.page), ("notebook", row.notebook)) if path.is_file()]
    return {
        "lesson": row.lesson,
        "heading": title(notebook) or row.lesson,
        "finding": row.finding,
        "error": row.error,
        "seconds": row.seconds,
        "device": row.device,
        "links": [(label, Path(os.path.relpath(path, folder)).as_posix()) for label, path in files],
        "figures": figures(notebook, row.lesson),
    }


def _settings(rows: Sequence[LessonResult]) -> str:
    profiles = dict.fromkeys(row.results.get("parameters", {}).get("profile", "") for row in rows)
    devices = dict.fromkeys(row.device for row in rows)
    parts = [*(f"profile {profile}" for profile in profiles if profile), *filter(None, devices)]
    return " · ".join([*parts, f"{platform.system()} {platform.machine()}"])


def _versions(rows: Sequence[LessonResult]) -> str:
    versions = next((row.results["versions"] for row in rows if "versions" in row.results), {})
    return " · ".join(f"{name} {version}" for name, version in versions.items())
