"""What Sphinx must know of advad: formulas as MathML, plots in the page's colours, how docstrings are written."""

from __future__ import annotations

import re
from typing import Any

from advad.pages.html import SCRIPT, asset
from advad.pages.markdown import mathml

CODE = re.compile(r"(``.*?``|:\w+:`[^`]*`|`[^`]*`)")


def setup(app: Any) -> dict[str, Any]:
    """Register all of it; Sphinx calls this."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", _skip)
    app.connect("html-page-context", _scripts)
    app.connect("build-finished", _write_assets)
    app.add_css_file("advad.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: Any, node: Any) -> None:
    from docutils import nodes

    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    from docutils import nodes

    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _scripts(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Let a page with plots, and no other, load what draws them."""
    if "advadPlot(" in context.get("body", ""):
        app.add_js_file(SCRIPT)
        app.add_js_file("plots.js")


def _write_assets(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        from plotly.offline import get_plotlyjs

        folder = app.outdir / "_static"
        for name, text in (
            (SCRIPT, get_plotlyjs()),
            ("plots.js", asset("plots.js")),
            ("advad.css", asset("parts.css") + asset("site.css")),
        ):
            (folder / name).write_text(text, encoding="utf-8")


def _skip(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to every estimator; None leaves the decision to autodoc."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def _process(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def as_rst(lines: list[str]) -> list[str]:
    r"""Return a docstring in which signs that reStructuredText would read as markup stay as they are written.

    Examples
    --------
    >>> as_rst(["‖x‖ of |x| and history_, `code_`:", "- a", "- b"])
    ['‖x‖ of \\|x\\| and history\\_, `code_`:', '', '- a', '- b']
    """
    rst: list[str] = []
    in_example = False
    for line in lines:
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        is_name = re.match(r"\S.* : |\*+\w+$|\w+(, \w+)+$", line)  # of parameters or attributes
        if not (in_example or is_name):
            pieces = CODE.split(line)
            pieces[::2] = [re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", piece) for piece in pieces[::2]]
            line = "".join(pieces)
        if re.match(r"Sources?:? ", line):  # it stands below a section, which would take it for a part of it
            rst += ["", "References", "----------"]
        before = rst[-1] if rst else ""
        if line.startswith("- ") and before.strip() and not before.startswith(("- ", "  ")):
            rst.append("")
        rst.append(line)
    return rst
