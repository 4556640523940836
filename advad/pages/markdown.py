"""Markdown as HTML, with formulas as MathML and images inside."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any


def mathml(formula: str, display: str) -> str:
    """Return a formula in LaTeX as MathML, "inline" or as a "block"; one that cannot be read stays as written.

    Examples
    --------
    >>> mathml("x^2", "inline")
    '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    """
    from latex2mathml.converter import convert

    try:
        return convert(formula, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    except Exception:  # its errors have no common class
        return f"<code>{html.escape(formula)}</code>"


def place(heading: str) -> str:
    """Return the id of a heading, given as HTML.

    Examples
    --------
    >>> place("What does <code>fit</code> do?")
    'what-does-fit-do'
    """
    return re.sub(r"\W+", "-", html.unescape(re.sub(r"<[^>]*>", "", heading))).strip("-").lower()


def to_html(source: str, images: Path | None) -> str:
    """Return markdown as HTML, with formulas as MathML, images inside, and an id for each heading."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return mathml(body, "inline")

        def heading(self, text: str, level: int, **attributes: Any) -> str:
            return f'<h{level} id="{place(text)}">{text}</h{level}>\n'

        def block_html(self, html: str) -> str:  # nbconvert's closes a <details> before its content
            return html + "\n"

    renderer = Renderer(escape=False, embed_images=True, exclude_anchor_links=True, path=str(images or Path.cwd()))
    return MarkdownWithMath(renderer=renderer).render(source)
