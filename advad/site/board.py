"""The scoreboard as a page of the site, and the tables of it that are about one method."""

from __future__ import annotations

from collections.abc import Sequence

from advad.pages.html import render
from advad.scoreboard.page import content
from advad.scoreboard.rows import Row
from advad.scoreboard.table import rows
from advad.site.lessons import raw


def board_page() -> str:
    """Return the source of the page with all results of data/measured.csv."""
    lead, rules, sections = content(rows(()))
    parts = ["# The scoreboard", lead, rules, raw(render("board_key"))]
    for section in sections:
        parts += [f"## {section['title']}, {section['short']}", section["facts"], _table(section)]
    return "\n\n".join(parts) + "\n"


def tables(of: Sequence[Row]) -> str:
    """Return the source of the tables of some rows."""
    _, _, sections = content(of)
    parts = [raw(render("board_key"))]
    for section in sections:
        parts += [f"### {section['title']}, {section['short']}", section["facts"], _table(section)]
    return "\n\n".join(parts)


def _table(section: dict) -> str:
    return raw(render("board_table", section=section))
