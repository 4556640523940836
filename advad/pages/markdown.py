"""Markdown as HTML, with formulas as MathML and images inside."""

from __future__ import annotations

import html
from pathlib import Path


def mathml(formula: str, display: str) -> str:
    """Return a formula in LaTeX as MathML, "inline" or as a "block"; one that cannot be read stays as written.

    Examples
    --------
    >>> mathml("x^2", "inline")
    '<math display="inline"><msup><mi>x</mi><mn>2</mn></msup></math>'
    """
    from latex2mathml.converter import convert

    try:
        return convert(formula, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    except Exception:  # its errors have no common class
        return f"<code>{html.escape(formula)}</code>"


def to_html(source: str, images: Path | None) -> str:
    """Return markdown as HTML, with formulas as MathML and images inside."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return mathml(body, "inline")

        def block_html(self, html: str) -> str:  # nbconvert's closes a <details> before its content
            return html + "\n"

    renderer = Renderer(escape=False, embed_images=True, exclude_anchor_links=True, path=str(images or Path.cwd()))
    return MarkdownWithMath(renderer=renderer).render(source)
