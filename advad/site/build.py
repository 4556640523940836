"""Build the course's site: write its sources, let Sphinx make pages of them, check the pages.

Sphinx's settings are `notebooks/conf.py`. The sources are written anew each time, in a temporary folder:

    index.md        what the course is, and one card a lesson
    lessons/        the executed lessons
    files/          the same lessons as they ship, to download
    guide/          the instructor's guide and the expected findings
    methods/        one page a method file
    board.md        our results beside the published values
    measured/       what was measured of attacks, photographs, precision and speed
    reference/      the library, sweeps and data, and the public names
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from advad.environment import shipped
from advad.files import expanded
from advad.site import check, methods, names
from advad.site.board import board_page
from advad.site.lessons import Lesson, front_page, write_lesson

SETTINGS = "notebooks"  # the folder of conf.py
GUIDE = {"guide": "notebooks/guide.md", "expected_findings": "notebooks/expected_findings.md"}
REFERENCE = {"library": "notebooks/library.md", "data": "data/README.md", "images/README": "data/images/README.md"}
MEASURED = {name: f"data/findings/{name}.md" for name in ("attacks", "mvtec_bottle", "precision", "speed")}
LICENCE = "data/images/LICENSE-FashionMNIST"  # linked from the last


class SiteError(RuntimeError):
    """A site that cannot be built, in one line a fault."""


def build(out: str | Path, lessons: list[Lesson]) -> Path:
    """Write the site; return the path of its front page.

    Parameters
    ----------
    out : path
        Its folder, made where it is missing. Files of an earlier build are written over.
    lessons : list of Lesson
        Executed or not, see `advad.site.lessons.collect`.

    Raises
    ------
    SiteError
        Sphinx is missing or finds a fault, such as a link to nowhere, or a page asks for something that is not there
        or comes from a network.
    """
    try:
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    except ModuleNotFoundError:
        raise SiteError('site: Sphinx must be installed: pip install "advad[site]".') from None
    folder, settings, warnings = expanded(out).resolve(), shipped(SETTINGS), io.StringIO()
    with tempfile.TemporaryDirectory(prefix="advad_site_") as name, patch_docutils(settings), docutils_namespace():
        sources, made = Path(name) / "sources", Path(name) / "made"
        write_sources(sources, lessons)
        app = Sphinx(
            sources,
            settings,
            made,
            Path(name) / "doctrees",
            "html",
            status=None,
            warning=warnings,
            freshenv=True,
            warningiserror=True,
        )
        pages = sum(path.suffix in (".md", ".ipynb") for path in sources.rglob("*") if path.parent.name != "files")
        with tqdm(total=2 * pages, desc="pages read and written", unit="page") as bar:
            app.connect("source-read", lambda *_: _count(bar))
            app.connect("html-page-context", lambda app, page, *_: _count(bar) if page in app.env.found_docs else None)
            app.build()
        if app.statuscode:
            text = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).replace(f"{sources}/", "")  # without colours
            lines = text.strip().splitlines()
            raise SiteError(f"site: {len(lines)} faults: {'; '.join(lines)}")
        if faults := check.faults(made):
            raise SiteError(f"site: {len(faults)} faults: {'; '.join(faults)}")
        shutil.copytree(made, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".buildinfo*", ".doctrees"))
    return folder / "index.html"


def _count(bar: tqdm) -> None:
    """Count a page; what an event returns means something to Sphinx, so it is nothing."""
    bar.update()


def write_sources(folder: Path, lessons: list[Lesson]) -> None:
    """Write all that Sphinx reads."""
    pages = {"index.md": front_page(lessons), "board.md": board_page()}
    pages |= {f"guide/{name}.md": _text(path) for name, path in GUIDE.items()}
    pages |= {f"measured/{name}.md": _text(path) for name, path in MEASURED.items()}
    pages |= {f"reference/{name}.md": _text(path) for name, path in REFERENCE.items()}
    pages |= {f"methods/{name}.md": text for name, text in methods.pages().items()}
    pages |= {f"reference/{name}.md": text for name, text in names.pages().items()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(shipped(LICENCE), folder / "reference" / "images")
    for lesson in lessons:
        write_lesson(folder, lesson)


def _text(path: str) -> str:
    return shipped(path).read_text(encoding="utf-8")
