"""One page a method file: idea, symbols, departures, code, what was measured, published values beside ours.

All of it is taken from where it stands: the docstring and the code of `advad/methods/NAME.py`, `data/findings/NAME.md`
and `data/measured.csv`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from advad.environment import PACKAGE, shipped
from advad.methods import METHODS
from advad.scoreboard.table import rows
from advad.site.board import tables

HEADINGS = (  # how a paragraph of a docstring begins -> the heading to put above it
    ("|", "Symbols and equations"),
    ("Departures", "Departures from the paper"),
    ("Development", "Development"),
)
LONGEST_NAME = 20  # letters; what is longer is no name but a part of the sentence
INDEX = """\
# The methods

Each method is one file that reads like its paper: the idea, the paper's symbols against our names, one small function
an equation, and what departs from the paper, with the reason. A page here shows the file, what was measured with it,
and the published values beside ours.

| method | in a few words |
|---|---|
{table}

```{{toctree}}
:hidden:

{names}
```
"""


def pages() -> dict[str, str]:
    """Return the source of each method's page, and of their index, by file name without ending."""
    files: dict[str, list[str]] = {}
    for name, file in METHODS.items():
        files.setdefault(file, []).append(name)
    sources = {file: page(file, names) for file, names in files.items()}
    titles = {file: _parts(file)[0].split("\n\n")[0] for file in files}
    lines = [
        f"| [{_name(titles[file], names)}]({file}.md) | {_summary(titles[file], names)} |"
        for file, names in files.items()
    ]
    return sources | {"index": INDEX.format(table="\n".join(lines), names="\n".join(files))}


def page(file: str, names: list[str]) -> str:
    """Return the source of a page.

    Parameters
    ----------
    file : str
        Name in `advad/methods` without ending.
    names : list of str
        The classes in it.
    """
    docstring, code = _parts(file)
    title, *paragraphs = docstring.split("\n\n")
    parts = [
        f"# {_name(title, names)}",
        f"*{_summary(title, names)}.*",
        f"Public: {', '.join(f'{{py:class}}`~advad.{name}`' for name in names)}.",
    ]
    for paragraph in paragraphs:
        if paragraph.startswith(("Measured figures", "Measurements")):
            continue  # they are below
        heading = next((text for start, text in HEADINGS if paragraph.startswith(start)), None)
        if heading and f"## {heading}" not in parts:
            parts.append(f"## {heading}")
        paragraph = paragraph.removeprefix(f"{heading}:\n")
        parts.append(re.sub(r"^(Departures.*?:)\n", r"\1\n\n", paragraph, flags=re.DOTALL))
    parts += ["## Code", f"`advad/methods/{file}.py`, without the text above.", f"````python\n{code.strip()}\n````"]
    findings = shipped("data/findings") / f"{file}.md"
    if findings.is_file():
        parts.append(_lower(findings))
    measured = [row for row in rows(()) if row.method in names]
    if measured:
        parts += ["## Published values beside ours", tables(measured)]
    return "\n\n".join(parts) + "\n"


def _parts(file: str) -> tuple[str, str]:
    """Return the docstring of a method's file, and the code after it."""
    source = (PACKAGE / "methods" / f"{file}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    end = tree.body[0].end_lineno or 0
    return ast.get_docstring(tree) or "", "\n".join(source.splitlines()[end:])


def _name(title: str, names: list[str]) -> str:
    """Return what a method is called: what stands before the colon of its first line, or else its classes."""
    name, colon, _ = title.partition(": ")
    return name if colon and len(name) <= LONGEST_NAME else ", ".join(names)


def _summary(title: str, names: list[str]) -> str:
    """Return the rest of the first line, with a capital letter and without its full stop."""
    text = " ".join(title.split()).rstrip(".").removeprefix(f"{_name(title, names)}: ")
    return text[0].upper() + text[1:]


def _lower(path: Path) -> str:
    """Return a Markdown file with each heading one level lower, so that it fits below a page's own."""
    lines, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        inside ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not inside else line)
    return "\n".join(lines)
