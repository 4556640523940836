"""Pages that open without a network: templates that escape by themselves, one look, plotly's script beside them."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

SCRIPT = "plotly.min.js"


@functools.cache
def _environment() -> Environment:
    folder = str(resources.files("advad.pages") / "templates")
    settings: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined, "keep_trailing_newline": True}
    return Environment(loader=FileSystemLoader(folder), **settings)


def render(template: str, **values: Any) -> Markup:
    """Return a template of `pages/templates` filled in; every value that is no `Markup` is escaped.

    Parameters
    ----------
    template : str
        Its name without the ending, such as "overview".
    **values
        What the template names; a missing one is an error.

    Examples
    --------
    >>> page = render("lesson", notebook="<b>.ipynb", links=[], contents=[], body=Markup("<p>x</p>"))
    >>> "&lt;b&gt;.ipynb" in page, "<p>x</p>" in page
    (True, True)
    """
    return Markup(_environment().get_template(f"{template}.html.j2").render(**values))


def write_html(path: Path, title: str, body: str, kind: str) -> Path:
    """Write a page in advad's look; return its path.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing. plotly's script is written beside it once, where the page has plots.
    title : str
        Shown in the browser's tab.
    body : str
        HTML.
    kind : str
        The class of the page's body, which the style sheet knows.
    """
    import advad

    path.parent.mkdir(parents=True, exist_ok=True)
    has_plots = "advadPlot(" in body
    if has_plots and not (path.parent / SCRIPT).is_file():
        from plotly.offline import get_plotlyjs

        (path.parent / SCRIPT).write_text(get_plotlyjs(), encoding="utf-8")
    values = {"title": title, "kind": kind, "version": advad.__version__, "script": SCRIPT if has_plots else ""}
    values["drawing"] = Markup(asset("plots.js")) if has_plots else ""
    path.write_text(render("page", body=Markup(body), style=Markup(_style()), **values), encoding="utf-8")
    return path


def asset(name: str) -> str:
    """Return the text of a file of `advad/pages`: "parts.css", "plots.js"."""
    return resources.files("advad.pages").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("friendly", "github-dark"))
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
    return "\n".join((light, dark, asset("parts.css"), asset("page.css")))
