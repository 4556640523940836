"""Pages of executed lessons: nothing that an output holds becomes markup or a script of the page."""

import base64
import io
import json

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from advad import plots
from advad.lessons.outcome import LessonResult
from advad.lessons.pages import thumbnail, with_cards, write_lesson_page, write_overview

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
PLOT = {"data": [{"y": [1], "name": "</script><script>alert(3)</script>"}], "layout": {"title": {"text": EVIL}}}
OUTPUTS = {
    "base64": new_output("display_data", {"image/png": f"iVBORw0KGgo={EVIL}", "text/plain": EVIL}),
    "picture": new_output(
        "display_data",
        {"text/html": f'<img src="data:image/png;base64,aaaa{EVIL} alt="an eight" onload=alert(4)>'},
        metadata={"advad": {"kind": "picture", "finding": EVIL}},
    ),
    "plot": new_output("display_data", {"application/vnd.plotly.v1+json": PLOT}, metadata={"advad": {"alt": EVIL}}),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_cannot_leave_its_place(kind, tmp_path):
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[OUTPUTS[kind]])])
    card = with_cards(notebook, "evil").cells[0].outputs[0]["data"]["text/html"]
    notebook_path = tmp_path / "00_evil.ipynb"
    nbformat.write(notebook, notebook_path)
    row = LessonResult("00_evil", notebook_path, tmp_path / "00_evil.html", finding=EVIL, device=EVIL, error=EVIL)
    pages = [write_lesson_page(notebook, row.page), write_overview(tmp_path, [row])]
    for text in [str(card), *(page.read_text(encoding="utf-8") for page in pages)]:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "onload=" not in text
        assert text.count("<script") == text.count("</script>")


def test_each_page_is_linked_to_its_neighbours_once_however_often_the_overview_is_written(tmp_path):
    rows = []
    for name in ("00_first", "01_second", "02_third"):
        notebook = new_notebook(cells=[new_markdown_cell(f"# {name} <b>")])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        page = write_lesson_page(notebook, tmp_path / f"{name}.html")
        rows.append(LessonResult(name, tmp_path / f"{name}.ipynb", page))
    for _ in range(2):
        write_overview(tmp_path, rows)
    text = rows[1].page.read_text(encoding="utf-8")
    links = '<a href="00_first.html">← 00_first &lt;b&gt;</a><a href="02_third.html">02_third &lt;b&gt; →</a>'
    own = '<a href="01_second.ipynb" download>01_second.ipynb</a></nav>'
    assert text.count(f'<a href="index.html">overview</a>{links}{own}') == text.count("<nav") == 1


def test_an_image_keeps_its_pixels_its_text_and_its_size():
    shown = '<img src="data:image/png;base64,aGk=" alt="a &lt;b&gt; eight" style="display:block;width:100%;'
    shown += 'max-width:84px;image-rendering:pixelated">'
    output = new_output("display_data", {"text/html": shown}, metadata={"advad": {"kind": "picture"}})
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    card = with_cards(notebook, "p").cells[0].outputs[0]["data"]["text/html"]
    assert 'src="data:image/png;base64,aGk=" alt="a &lt;b&gt; eight"' in card
    assert "max-width:84px;image-rendering:pixelated" in card


def saved(figure):
    """Return a notebook's output of a figure as plotly saves it, with its arrays in base64."""
    return new_output("display_data", {"application/vnd.plotly.v1+json": json.loads(figure.to_json())})


def shown(*figures):
    """Return the thumbnail of a notebook with these figures, in grey."""
    cells = [new_code_cell("x", outputs=[saved(figure)]) for figure in figures]
    image = Image.open(io.BytesIO(base64.b64decode(thumbnail(new_notebook(cells=cells)))))
    return np.asarray(image.convert("L"))


def test_a_thumbnail_shows_the_first_figure_of_one_pair_of_axes():
    line = plots.curves(np.arange(5), {"a": np.array([0.1, 0.4, 0.2, 0.9, 0.5])}, title="", x_title="", y_title="")
    assert "bdata" in line.to_json()
    alone = shown(line)
    assert (alone < 200).mean() > 0.002
    dots = {"g": (np.arange(3.0), np.arange(3.0))}
    panels = plots.panels({"a": dots, "b": dots}, title="")
    assert np.array_equal(shown(panels, line), alone)
    assert thumbnail(new_notebook(cells=[new_code_cell("x", outputs=[saved(panels)])])) == ""


def test_a_page_shows_the_code_that_is_open_in_the_notebook(tmp_path):
    outputs = [new_output("display_data", {"text/html": "<p>an output</p>", "text/plain": ""})]
    folded = new_code_cell("plumbing = 1", outputs=outputs, metadata={"jupyter": {"source_hidden": True}})
    notebook = new_notebook(cells=[folded, new_code_cell("science = 2")])
    page = write_lesson_page(notebook, tmp_path / "00.html").read_text(encoding="utf-8")
    assert "plumbing" not in page
    assert "an output" in page
    assert "science" in page
    assert "transient" not in folded.metadata


def test_a_page_shows_the_parameters_of_its_run_but_no_folder(tmp_path):
    """Papermill's cell has whole paths: of the results, and of a folder of images."""
    notebook = nbformat.v4.new_notebook()
    lines = [
        "# Parameters",
        "normal = 3",
        'output_dir = "/home/somebody/runs"',
        "folder = 'C:\\\\photos'",
        'profile = "lab"',
    ]
    cells = ["\n".join(lines), '# Parameters\noutput_dir = "/home/somebody/runs"']
    for k, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source, id=f"cell-{k}", metadata={"tags": ["injected-parameters"]})
        notebook.cells.append(cell)
    page = write_lesson_page(notebook, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "normal" in page
    assert "lab" in page
    assert "somebody" not in page
    assert "photos" not in page
    assert page.count("# Parameters") == 1, "a cell without a line left is gone"
    assert notebook.cells[0].source == cells[0], "the executed notebook keeps them"
