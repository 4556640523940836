"""Markdown as HTML, with formulas as MathML and images inside."""

from __future__ import annotations

import html
from pathlib import Path


def to_html(source: str, images: Path | None) -> str:
    """Return markdown as HTML, with formulas as MathML and images inside."""
    from latex2mathml.converter import convert
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    def mathml(body: str, display: str) -> str:
        try:
            return convert(body, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
        except Exception:  # its errors have no common class; a formula that it cannot read stays as written
            return f"<code>{html.escape(body)}</code>"

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return mathml(body, "inline")

        def block_html(self, html: str) -> str:  # nbconvert's closes a <details> before its content
            return html + "\n"

    renderer = Renderer(escape=False, embed_images=True, exclude_anchor_links=True, path=str(images or Path.cwd()))
    return MarkdownWithMath(renderer=renderer).render(source)
