"""Write a page that opens without a network."""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path

SCRIPT = "plotly.min.js"


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("friendly", "github-dark"))
    sheet = resources.files("advad.pages").joinpath("page.css").read_text(encoding="utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{sheet}"


def write_html(path: Path, name: str, body: str, kind: str) -> None:
    """Write a page in the gallery's look: its title, its body as HTML, and the class of that body."""
    import advad

    path.parent.mkdir(parents=True, exist_ok=True)
    script = ""
    if "Plotly.newPlot(" in body:
        script = f'<script src="{SCRIPT}"></script>'
        if not (path.parent / SCRIPT).is_file():
            from plotly.offline import get_plotlyjs

            (path.parent / SCRIPT).write_text(get_plotlyjs(), encoding="utf-8")
    footer = f"<footer>Made by advad {advad.__version__}. This page needs no network.</footer>"
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(name)}</title>'
        f"<style>{_style()}</style>{script}</head>\n"
        f'<body class="{kind}">{body}{footer}</body></html>\n'
    )
    path.write_text(page, encoding="utf-8")
