"""The course's site: built whole from lessons, methods and results, without a network; a fault in it is told."""

import json
import re
import sys

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_output

from advad.cli.main import main
from advad.lessons.catalogue import lessons
from advad.lessons.course import course_map
from advad.methods import METHODS
from advad.plots.theme import INK
from advad.site import build as builder
from advad.site import names
from advad.site.check import faults
from advad.site.extension import as_rst

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # Sphinx tells its extensions of Sphinx 11
PLOT = {
    "application/vnd.plotly.v1+json": {
        "data": [{"type": "scatter", "x": [0, 1], "y": [0, 1]}],
        "layout": {"height": 300, "font": {"color": INK}},
    }
}
SHOWN = {"advad": {"finding": "It falls by -0.25.", "alt": "A line."}}
RESULTS = {
    "lesson": "00_start",
    "finding": "It was found.",
    "parameters": {"profile": "lab", "seed": 3},
    "device": "cpu",
    "seconds": 12.3,
    "versions": {"advad": "0.0"},
}


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """Return a folder in which 00 was executed, and 01 in another version than the one that ships."""
    folder = tmp_path_factory.mktemp("tour")
    for path in lessons()[:2]:
        notebook = nbformat.read(path, as_version=4)
        injected = new_code_cell('output_dir = "/home/somebody"', metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(2, injected)
        cell = next(cell for cell in reversed(notebook.cells) if cell.cell_type == "code")
        cell.outputs = [new_output("display_data", PLOT, metadata=SHOWN)]
        if path == lessons()[1]:
            cell.source += "\n1 + 1"
        nbformat.write(notebook, folder / path.name)
        (folder / path.stem).mkdir()
        (folder / path.stem / "results.json").write_text(json.dumps(RESULTS | {"lesson": path.stem}))
    return folder


@pytest.fixture(scope="module")
def site(tour, tmp_path_factory):
    pytest.importorskip("sphinx", reason="needs Sphinx, of the extra 'site'")
    out = tmp_path_factory.mktemp("out") / "site"
    done = CliRunner().invoke(main, ["site", "--no-run", "--from", str(tour), "--out", str(out)])
    assert done.exit_code == 0, done.stderr[-3000:]
    assert [path.name for path in out.parent.iterdir()] == ["site"]  # nothing beside it
    return out


def read(path):
    return path.read_text(encoding="utf-8")


def test_the_site_is_whole(site):
    assert faults(site) == []
    assert (site / "board.html").is_file()
    assert {path.stem for path in (site / "measured").glob("*.html")} == {
        "attacks",
        "mvtec_bottle",
        "precision",
        "speed",
    }
    assert "Two hours" in read(site / "guide" / "guide.html")
    assert "ARAE" in read(site / "searchindex.js") or "arae" in read(site / "searchindex.js")


def test_the_front_page_leads_to_each_lesson(site):
    page = read(site / "index.html")
    for path in lessons():
        assert f'href="lessons/{path.stem}.html"' in page
    assert course_map()[0].question in page
    assert "It was found." in page
    assert page.count('<img src="data:image/png;base64,') == 1  # the thumbnail of the lesson that was executed


def test_a_lesson_can_be_read_downloaded_and_left(site):
    for before, path, after in zip(lessons(), lessons()[1:], lessons()[2:], strict=False):
        page = read(site / "lessons" / f"{path.stem}.html")
        assert f'href="{before.stem}.html"' in page
        assert f'href="{after.stem}.html"' in page
        (address,) = re.findall(r'href="(\.\./_downloads/[^"]*\.ipynb)"', page)
        assert (site / "lessons" / address).resolve().read_bytes() == path.read_bytes()


def test_a_lesson_shows_what_it_is_from(site):
    executed, other = (read(site / "lessons" / f"{path.stem}.html") for path in lessons()[:2])
    assert "Executed with profile lab, seed 3, in 12 s on cpu, advad 0.0." in executed
    assert "It falls by −0.25." in executed
    assert 'aria-label="A line."' in executed
    assert "/home/somebody" not in executed
    assert "plotly.min.js" in executed
    assert "Nothing was executed for this page" in other
    assert "It falls by" not in other
    assert "plotly.min.js" not in other


def test_formulas_are_drawn_by_the_browser_itself(site):
    page = read(site / "lessons" / f"{lessons()[1].stem}.html")
    assert "<math" in page
    assert "mathjax" not in page.lower()


def test_each_method_has_a_page_with_all_its_parts(site):
    for file in set(METHODS.values()):
        page = read(site / "methods" / f"{file}.html")
        headings = re.findall(r"<h2>([^<]*)", page)
        assert "Code" in headings
    headings = re.findall(r"<h2>([^<]*)", read(site / "methods" / "arae.html"))
    wanted = ["Symbols and equations", "Departures from the paper", "Code", "ARAE: what was measured"]
    assert headings == [*wanted, "Published values beside ours"]


def test_each_public_name_is_in_the_reference(site, monkeypatch):
    import advad

    text = "".join(read(path) for path in (site / "reference").glob("*.html"))
    assert all(f'id="advad.{name}"' in text for name in set(advad.__all__) - set(names.DATA))
    monkeypatch.setattr(names, "public", [*advad.__all__, "NewMethod"])
    with pytest.raises(ValueError, match="NewMethod is in none"):
        names.pages()


def test_it_opens_offline_draws_and_finds(site):
    from tests.browser.conftest import FLAGS, chromium, sync_playwright

    if (path := chromium()) is None:
        pytest.skip("needs a Chromium: apt-get install chromium, or playwright install chromium")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        for scheme, ink in (("light", (0, 90)), ("dark", (150, 256))):
            page = browser.new_context(color_scheme=scheme, viewport={"width": 420, "height": 900}).new_page()
            asked, errors = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            page.goto((site / "lessons" / "00_start.html").as_uri())
            page.wait_for_selector(".plot svg")
            colour = page.evaluate("getComputedStyle(document.querySelector('.plot .xtick text')).fill")
            page.set_viewport_size({"width": 850, "height": 900})  # as when a phone is turned: the plot stays whole
            page.wait_for_function("document.querySelector('.plot svg').clientWidth > 420")
            assert page.evaluate("document.querySelector('.plot').clientHeight") == 300
            page.set_viewport_size({"width": 420, "height": 900})
            assert ink[0] <= int(re.findall(r"\d+", colour)[0]) < ink[1], (scheme, colour)
            for name in ("lessons/00_start", "methods/arae", "board", "index"):
                page.goto((site / f"{name}.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= 420, name
            page.goto((site / "search.html").as_uri() + "?q=contamination")
            page.wait_for_selector("#search-results li a")
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            assert errors == []
        browser.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# T\n\n[x](gone.md)\n", "index.md:3: WARNING: 'myst' cross-reference target not found: 'gone.md'"),
        (
            "# T\n\n```{eval-rst}\n.. autofunction:: advad.gone\n```\n",
            "module 'advad' has no attribute 'gone'",
        ),
        (
            '# T\n\n```{raw} html\n<img src="https://example.org/x.png">\n```\n',
            "index.html fetches https://example.org",
        ),
    ],
)
def test_a_fault_is_told_and_nothing_is_written(text, message, tmp_path, monkeypatch):
    pytest.importorskip("sphinx", reason="needs Sphinx, of the extra 'site'")

    def write_sources(folder, _):
        folder.mkdir()
        (folder / "index.md").write_text(text)

    monkeypatch.setattr(builder, "write_sources", write_sources)
    with pytest.raises(builder.SiteError) as caught:
        builder.build(tmp_path / "out", [])
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_sphinx_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sphinx", None)
    monkeypatch.setitem(sys.modules, "sphinx.application", None)
    done = CliRunner().invoke(main, ["site", "--no-run", "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stderr) == (1, 'advad: site: Sphinx must be installed: pip install "advad[site]".\n')
    assert not (tmp_path / "out").exists()


def test_docstrings_stay_as_they_are_written():
    lines = ["Of |x| and history_:", "- a `b_`", "", ">>> f(*x)", "|y|", "", "*tensors : Tensor", "Source : A."]
    assert as_rst(lines) == [
        r"Of \|x\| and history\_:",
        *("", "- a `b_`", "", ">>> f(*x)", "|y|", "", "*tensors : Tensor"),
        *("", "References", "----------", "Source : A."),
    ]
