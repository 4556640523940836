"""Notes with a coloured edge, which a lesson displays; they are readable on light and on dark themes."""

from __future__ import annotations

import html

BLUE, GREEN, RED, GREY = "#0072B2", "#009E73", "#D55E00", "#8A8A8A"  # Okabe-Ito, legible on white and on black


def box(label: str, markup: str, colour: str = BLUE) -> str:
    """Return a note as HTML: an edge in `colour`, a label that says the same in words, and the theme's own text."""
    style = (
        f"max-width:46rem;margin:.4rem 0 1rem;padding:.45rem .9rem;line-height:1.5;"
        f"border-left:4px solid {colour};background:{colour}14"
    )
    return f'<div class="advad-note" style="{style}"><strong>{html.escape(label)}.</strong> {markup}</div>'
