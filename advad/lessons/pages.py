"""Executed lessons as pages: each lesson on its own, and an overview of what they found, one card a lesson.

The pages need no network. Next to them lies `plotly.min.js`, taken from the installed plotly; formulas are MathML,
which browsers draw themselves; the style is in every page.
"""

from __future__ import annotations

import base64
import html
import io
import json
import platform
import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
from markupsafe import Markup
from nbformat import NotebookNode

from advad.files import expanded
from advad.lessons.course import course_map
from advad.pages.html import contents, render, write_html
from advad.pages.markdown import to_html

if TYPE_CHECKING:
    from PIL.Image import Image

    from advad.lessons.outcome import LessonResult

PLOTLY = "application/vnd.plotly.v1+json"
IMAGES = ("image", "picture")  # kinds of output; "picture": notebooks of version 0.1
HEIGHT = 400  # of a plot that names none, in CSS pixels
FOLDER_LINE = re.compile(r"""\w+ = ["'](/|~|[A-Za-z]:\\)""")  # a parameter whose value is a whole path
LINKS = re.compile(r'<nav aria-label="Lessons">.*?</nav>', re.DOTALL)  # the template "lesson_links"
THUMBNAIL = (640, 320)  # at most, in pixels; half as large on the page


def write_lesson_page(notebook: NotebookNode, path: Path, *, image_folder: Path | None = None) -> Path:
    """Write an executed notebook as a page of its own; return its path.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, without widgets (see `advad.lessons.run.tidy`). Not changed.
    path : Path
        The page; `plotly.min.js` is written beside it once.
    image_folder : Path, optional
        The folder that images in its text are relative to.
    """
    from nbconvert.exporters import HTMLExporter

    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", lambda source: to_html(source, image_folder))
    body, _ = exporter.from_notebook_node(with_cards(notebook, "figure"))
    name = path.with_suffix(".ipynb").name
    page = render("lesson", notebook=name, contents=contents(body), body=Markup(body))
    return write_html(path, title(notebook) or path.stem, page, "executed")


def with_cards(notebook: NotebookNode, prefix: str) -> NotebookNode:
    """Return a copy of an executed notebook in which each figure is HTML, with its finding as its caption.

    The cell in which papermill sets parameters shows no folder: that is a place on somebody's machine.

    Parameters
    ----------
    notebook : NotebookNode
        Executed and tidied.
    prefix : str
        Of the names of its plots, which are unique in a page.
    """
    copy = deepcopy(notebook)
    copy.cells = list(filter(_without_folders, copy.cells))
    for index, cell in enumerate(copy.cells):
        outputs = []
        for number, output in enumerate(cell.get("outputs", [])):
            about = output.get("metadata", {}).get("advad", {})
            if about.get("kind") == "finding":  # the figure before it has it as its caption
                continue
            if card := _figure(output, f"{prefix}-{index}-{number}"):
                output["data"] = {"text/html": str(card)}
            outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs
        if cell.metadata.get("jupyter", {}).get("source_hidden"):  # folded in JupyterLab; the notebook has it
            cell.metadata["transient"] = {"remove_source": True}
    return copy


def _without_folders(cell: NotebookNode) -> bool:
    """Remove the lines that set a folder from a cell of papermill's, in place; return whether code is left."""
    if "injected-parameters" not in cell.metadata.get("tags", []):
        return True
    lines = [line for line in cell.source.splitlines() if not FOLDER_LINE.match(line)]
    cell.source = "\n".join(lines)
    return any(line and not line.startswith("#") for line in lines)


def write_overview(folder: str | Path, rows: Sequence[LessonResult]) -> Path:
    """Write `index.html`, what each lesson asked and found, and put links into the lessons' pages; return its path.

    Parameters
    ----------
    folder : path
        Where the executed lessons are.
    rows : sequence of LessonResult
        In the order of the lessons; those that failed are shown as failed.
    """
    folder = expanded(folder)
    notebooks = [_notebook(row) for row in rows]
    shown = [place for place, row in enumerate(rows) if row.page.is_file()]
    for index, place in enumerate(shown):
        links = [("overview", "index.html")]
        for arrow, other in (("← {}", shown[:index][-1:]), ("{} →", shown[index + 1 :][:1])):
            links += [(arrow.format(title(notebooks[each])), rows[each].page.name) for each in other]
        _put_links(rows[place].page, links)
    cards = [
        card(row, notebook, row.page.name if row.page.is_file() else "")
        for row, notebook in zip(rows, notebooks, strict=True)
    ]
    body = render(
        "overview",
        failed=sum(bool(row.error) for row in rows),
        count=f"{len(rows)} lesson{'s' * (len(rows) != 1)}",
        seconds=sum(row.seconds for row in rows),
        settings=_settings(rows),
        versions=_versions(rows),
        cards=render("cards", cards=cards),
    )
    return write_html(folder / "index.html", "advad: what the lessons found", body, "overview")


def _put_links(page: Path, links: Sequence[tuple[str, str]]) -> None:
    """Put labels and addresses of other pages into a lesson's page: its overview, the previous and the next lesson."""
    links_now = render("lesson_links", notebook=page.with_suffix(".ipynb").name, links=links)
    text = page.read_text(encoding="utf-8")
    page.write_text(LINKS.sub(lambda _: links_now, text, count=1), encoding="utf-8")


def card(row: LessonResult, notebook: NotebookNode, address: str) -> dict[str, Any]:
    """Return what the template "cards" shows of a lesson.

    Parameters
    ----------
    row : LessonResult
        What it found.
    notebook : NotebookNode
        Executed, or as it ships.
    address : str
        Of its page; "" for none.
    """
    entry = next((entry for entry in course_map() if entry.name == row.lesson), None)
    facts = [f"{entry.minutes} minutes", entry.level] if entry else []
    facts += [f"computed in {row.seconds:.0f} s on {row.device}"] if row.seconds else []
    return {
        "title": title(notebook) or row.lesson,
        "question": entry.question if entry else "",
        "finding": row.finding,
        "error": row.error,
        "facts": " · ".join(facts),
        "address": address,
        "thumbnail": thumbnail(notebook),
    }


def thumbnail(notebook: NotebookNode) -> str:
    """Return the first figure of an executed notebook as a small PNG in base64; "" where it has none."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        try:
            image = _image_of(output)
        except (KeyError, OSError, TypeError, ValueError):  # any notebook may come here, with what cannot be drawn
            continue
        if image is not None:
            image.thumbnail(THUMBNAIL)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", optimize=True)
            return base64.b64encode(buffer.getvalue()).decode()
    return ""


def _image_of(output: NotebookNode) -> Image | None:
    """Return an output as an image; None where it is no figure."""
    from PIL.Image import open as open_image

    data, about = output.get("data", {}), output.get("metadata", {}).get("advad", {})
    if PLOTLY in data:
        from plotly.graph_objects import Figure

        from advad.plots.to_image import image_of

        figure = {key: _decoded(data[PLOTLY][key]) for key in ("data", "layout")}
        # `image_of` knows one pair of axes: the next figure, where this one has more
        return None if "xaxis2" in figure["layout"] else image_of(Figure(figure), width=480, height=300)
    if about.get("kind") in IMAGES:
        return open_image(io.BytesIO(base64.b64decode(_image(data["text/html"])["png"])))
    return open_image(io.BytesIO(base64.b64decode(data["image/png"]))) if "image/png" in data else None


def _decoded(part: Any) -> Any:
    """Return a part of a saved figure with its arrays, which plotly saves in base64, as NumPy arrays."""
    if isinstance(part, list):
        return [_decoded(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "bdata" not in part:
        return {name: _decoded(item) for name, item in part.items()}
    shape = [int(side) for side in str(part.get("shape", "-1")).split(",")]
    return np.frombuffer(base64.b64decode(part["bdata"]), part["dtype"]).reshape(shape)


def _notebook(row: LessonResult) -> NotebookNode:
    return nbformat.read(row.notebook, as_version=4) if row.notebook.is_file() else nbformat.v4.new_notebook()


def title(notebook: NotebookNode) -> str:
    """Return a notebook's first heading, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^#\s+(.+?)\s*$", cell.source, re.MULTILINE)):
            return re.sub(r"[`*]", "", match[1])
    return ""


def _figure(output: NotebookNode, name: str) -> Markup:
    """Return an output as a card; empty where it is no figure."""
    data, about = output.get("data", {}), output.get("metadata", {}).get("advad", {})
    values = {"name": name, "finding": about.get("finding", ""), "plot": "", "png": "", "style": ""}
    values |= {"width": 0, "height": 0}
    if PLOTLY in data:
        layout = dict(data[PLOTLY].get("layout", {}))
        width = layout.pop("width", None)  # the page's own, at most the author's
        alt = about.get("alt") or _plot_title(layout) or "Figure"
        size = {"width": int(width or 0), "height": int(layout.get("height") or HEIGHT)}
        return render("figure", **values | size | {"plot": _plot(data[PLOTLY], layout), "alt": alt})
    if about.get("kind") in IMAGES:
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
    """Return the arguments of `advadPlot` (plots.js) after the place, as text that is safe inside a script."""
    settings = payload.get("config", {}) | {"responsive": True, "displayModeBar": False}  # its buttons lie on the title
    parts = [payload.get("data", []), layout | {"autosize": True}, settings]
    return Markup(",".join(json.dumps(part).replace("<", "\\u003c") for part in parts))


def _plot_title(layout: dict[str, Any]) -> str:
    text = layout.get("title", "")
    return text.get("text", "") if isinstance(text, dict) else text


def _settings(rows: Sequence[LessonResult]) -> str:
    profiles = dict.fromkeys(row.results.get("parameters", {}).get("profile", "") for row in rows)
    devices = dict.fromkeys(row.device for row in rows)
    parts = [*(f"profile {profile}" for profile in profiles if profile), *filter(None, devices)]
    return " · ".join([*parts, f"{platform.system()} {platform.machine()}"])


def _versions(rows: Sequence[LessonResult]) -> str:
    versions = next((row.results["versions"] for row in rows if "versions" in row.results), {})
    return " · ".join(f"{name} {version}" for name, version in versions.items())
