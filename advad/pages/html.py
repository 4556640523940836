"""Pages that open without a network: templates that escape by themselves, one look, plotly's script beside them."""

from __future__ import annotations

import functools
import re
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
    environment = Environment(loader=FileSystemLoader(folder), **settings)
    environment.filters["true_minus"] = true_minus
    return environment


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
    >>> page = render("lesson", notebook="<b>.ipynb", contents="", body=Markup("<p>x</p>"))
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


def contents(body: str) -> Markup:
    """Return links to the headings of the second level in a page's HTML; empty where there are none."""
    headings = re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', body, re.DOTALL)
    return render("contents", headings=[(name, Markup(text).striptags()) for name, text in headings])


def true_minus(text: str) -> str:
    """Return a text in which a hyphen before a number is a minus sign.

    Examples
    --------
    >>> true_minus("changes by -0.066 in 2-fold, 3-5 and -.5 (-1)")
    'changes by −0.066 in 2-fold, 3-5 and −.5 (−1)'
    """
    return re.sub(r"(?<![\w.)\]])-(?=\.?\d)", "−", text)


def asset(name: str) -> str:
    """Return the text of a file of `advad/pages`: "parts.css", "plots.js"."""
    return resources.files("advad.pages").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("friendly", "github-dark"))
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
    return "\n".join((light, dark, asset("parts.css"), asset("page.css")))
