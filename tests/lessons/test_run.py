"""Parameters as declared and checked; lessons found, solved, executed, and turned into pages."""

import json
import re
import sys
from html.parser import HTMLParser

import nbformat
import numpy as np
import papermill
import pytest

from advad.lessons import catalogue, run
from advad.lessons.catalogue import find_lesson, lessons
from advad.lessons.course import course_map
from advad.lessons.exercises import solved
from advad.lessons.outcome import LessonError, LessonResult, NoLessonError
from advad.lessons.pages import write_overview
from advad.lessons.parameters import Parameter, ParameterError, check_parameters, read_parameters
from advad.lessons.run import WIDGET, run_lesson, tidy
from advad.lessons.run_all import run_lessons

PARAMETERS = """\
# what an instructor sets
profile: str = "smoke"  # size of everything {smoke, lab, paper}
epochs: int = 0  # training epochs, 0 for the profile's [1, 10000]
radius: float = 0.2  # of the attack (0, 1]
share: float | None = None  # of anomalies, None for the profile's [0, 0.5]
quiet: bool = False
answer: str = ""  # free text
mode: str = "student"  # {student, solution}
output_dir: str = "runs/00_tiny"  # where results.json goes
"""


def code(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def text(source, *tags):
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def write(path, *cells):
    """Write cells as a notebook whose kernel exists nowhere: no run may depend on it."""
    kernel = {"name": "no-such-kernel", "display_name": "none", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def tiny(tmp_path):
    return write(tmp_path / "00_tiny.ipynb", code(PARAMETERS, "parameters"))


def test_parameters_are_read_with_their_rules(tiny):
    found = read_parameters(tiny)
    assert list(found) == ["profile", "epochs", "radius", "share", "quiet", "answer", "mode", "output_dir"]
    choices = ("smoke", "lab", "paper")
    help_text = "size of everything {smoke, lab, paper}"
    assert found["profile"] == Parameter("profile", str, "smoke", help_text, choices=choices)
    assert (found["epochs"].low, found["epochs"].high, found["epochs"].ends) == (1, 10000, "[]")
    assert (found["radius"].type, found["radius"].default, found["radius"].ends) == (float, 0.2, "(]")
    assert found["share"].optional
    assert found["share"].default is None
    assert found["quiet"] == Parameter("quiet", bool, False)
    assert found["answer"].help == "free text"


def test_papermill_sees_the_same_parameters(tiny):
    seen = papermill.inspect_notebook(str(tiny))
    ours = read_parameters(tiny)
    assert set(ours) - set(seen) == {"share"}  # it has no form for a parameter that may be None
    for name, parameter in seen.items():
        assert parameter["inferred_type_name"] == ours[name].type.__name__
        assert parameter["help"] == ours[name].help


def test_a_notebook_without_parameters_has_none(tmp_path):
    path = write(tmp_path / "00_none.ipynb", code("x: int = 1"))
    assert read_parameters(path) == {}
    with pytest.raises(ParameterError, match=r"00_none: no parameter 'x'\. It has none\."):
        check_parameters(path, {"x": 1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs = 3", "must read `name: type = literal  # help`; got 'epochs = 3'"),
        ("print(3)", "must read `name"),
        ("epochs: int = 2 + 2", "must read `name"),
        ("epochs: int = 3  # as in epochs=3", 'with one "="'),
        ("epochs: int = (\n    3)", 'with one "="'),
        ("epochs: list = [3]", "must have one of the types int, float, str, bool"),
        ("epochs: int = '3'", "must have a default of its type, int"),
        ("epochs: int = True", "must have a default of its type, int"),
        ("epochs: int = None", "must have a default of its type, int"),
        ("epochs: int = 3  # [1 10]", r"must end in \[low, high\] for numbers"),
        ("epochs: int = 3  # [10, 1]", r"must end in \[low, high\] for numbers"),
        ("epochs: int = 3  # {few, many}", r"must end in \[low, high\] for numbers"),
        ("mode: str = 'a'  # [1, 2]", r"must end in \[low, high\] for numbers"),
        ("%matplotlib inline", "must be Python"),
    ],
)
def test_a_line_out_of_form_is_named(tmp_path, line, message):
    path = write(tmp_path / "00_bad.ipynb", code(f"seed: int = 0\n{line}", "parameters"))
    with pytest.raises(ParameterError, match=f"00_bad: line 2 of its parameters .*{message}"):
        read_parameters(path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", "12", 12),
        ("epochs", np.int64(12), 12),
        ("epochs", "0", 0),  # the default, though its rule begins at 1
        ("radius", "1e-3", 0.001),
        ("radius", 1, 1.0),
        ("share", "none", None),
        ("share", None, None),
        ("share", "0", 0.0),
        ("quiet", "yes", True),
        ("quiet", "False", False),
        ("quiet", True, True),
        ("answer", "8", "8"),
        ("answer", 8, "8"),  # as papermill passes the class "8"
        ("profile", "lab", "lab"),
    ],
)
def test_a_value_takes_its_type(tiny, name, value, expected):
    found = check_parameters(tiny, {name: value})[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epoch", "3", r"no parameter 'epoch'\. Did you mean epochs\? It has profile, epochs, radius"),
        ("zzz", "3", r"no parameter 'zzz'\. It has profile"),
        ("epochs", "many", r"epochs must be a whole number; got 'many'\."),
        ("epochs", "3.5", "epochs must be a whole number; got '3.5'"),
        ("epochs", 3.5, "epochs must be a whole number; got 3.5"),
        ("epochs", True, "epochs must be a whole number; got True"),
        ("epochs", "none", "epochs must be a whole number; got 'none'"),
        ("epochs", "10001", r"epochs must be in \[1, 10000\]; got 10001"),
        ("epochs", "-1", r"epochs must be in \[1, 10000\]; got -1"),
        ("radius", "0", r"radius must be in \(0, 1\]; got 0"),
        ("radius", "nan", r"radius must be in \(0, 1\]; got nan"),
        ("share", "0.6", r"share must be in \[0, 0.5\]; got 0.6"),
        ("quiet", "maybe", "quiet must be true or false; got 'maybe'"),
        ("quiet", 1, "quiet must be true or false; got 1"),
        ("answer", 1e3, "answer must be text; got 1000.0"),  # "1e3", "1000.0" or "1000"?
        ("profile", "huge", "profile must be one of 'smoke', 'lab', 'paper'; got 'huge'"),
        ("profile", "", "profile must be one of 'smoke'"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_one_line(tiny, name, value, message):
    with pytest.raises(ParameterError, match=f"^00_tiny: {message}") as caught:
        check_parameters(tiny, {name: value})
    assert "\n" not in str(caught.value)


def test_a_folder_is_looked_up_where_the_command_was_typed(tmp_path, monkeypatch):
    """Not where the notebook lies; else among all image sets; a path that leads nowhere is told at once."""
    path = write(tmp_path / "book" / "00_tiny.ipynb", code('folder: str = ""  # images <folder>', "parameters"))
    here, data = tmp_path / "here", tmp_path / "data"
    for place in (here / "parts", data / "sets", path.parent / "elsewhere"):
        place.mkdir(parents=True)
    monkeypatch.setenv("ADVAD_DATA", str(data))
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.chdir(here)
    for value, expected in {"parts": here / "parts", "sets": data / "sets", "~/parts": here / "parts", "": ""}.items():
        assert check_parameters(path, {"folder": value}) == {"folder": str(expected)}
    for value in ("elsewhere", "a\0b", "x" * 5000, "~nobody-of-this-name"):
        with pytest.raises(ParameterError, match="^00_tiny: folder must be a folder in .*here or .*data") as caught:
            check_parameters(path, {"folder": value})
        assert "\n" not in str(caught.value)


def test_what_is_no_notebook_is_told(tmp_path):
    (tmp_path / "a.ipynb").write_text("no json")
    (tmp_path / "b.ipynb").write_text("[1, 2]")
    for name in ("a.ipynb", "b.ipynb"):
        with pytest.raises(ParameterError, match=f"{name}: must be a Jupyter notebook"):
            read_parameters(tmp_path / name)


def test_lessons_are_found_in_order_and_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [tmp_path / "empty", tmp_path / "notebooks"])
    with pytest.raises(NoLessonError, match="no lessons in .*empty or .*notebooks"):
        lessons()
    for name in ("10_last", "00_start", "01_identity_collapse", "scratch"):
        write(tmp_path / "notebooks" / f"{name}.ipynb")
    assert [path.stem for path in lessons()] == ["00_start", "01_identity_collapse", "10_last"]
    folder = tmp_path / "notebooks"
    for name in ("01", "01_identity_collapse", "01_identity_collapse.ipynb"):
        assert find_lesson(name) == folder / "01_identity_collapse.ipynb"
    assert find_lesson(str(folder / "scratch.ipynb")) == folder / "scratch.ipynb"
    with pytest.raises(NoLessonError, match=r"no lesson '00_stat'\. Did you mean 00_start\? There are 00_start, 01_"):
        find_lesson("00_stat")
    with pytest.raises(NoLessonError, match="no lesson '0'"):
        find_lesson("0")


def test_an_exercise_becomes_its_solution():
    solution = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\nBecause.\n\n</details>"
    notebook = nbformat.v4.new_notebook(
        cells=[
            code("answer = ...", "exercise"),
            code("check(answer)"),
            text(solution.format("answer = 1\nmore = 2"), "solution"),
            text(solution.format("no = 'exercise waits for this'")),
            code("other = ...", "exercise"),
            text("A hint without code.", "solution"),
            text(solution.format("other = 3"), "solution"),
        ]
    )
    sources = [cell.source for cell in solved(notebook, "00_tiny").cells if cell.cell_type == "code"]
    assert sources == ["answer = 1\nmore = 2", "check(answer)", "other = 3"]
    assert notebook.cells[0].source == "answer = ..."


@pytest.mark.parametrize("after", [[], [code("b = ...", "exercise"), text("```python\nb = 1\n```", "solution")]])
def test_an_exercise_without_a_solution_is_named(after):
    notebook = nbformat.v4.new_notebook(cells=[code("answer = ...", "exercise"), *after])
    with pytest.raises(ParameterError, match="00_tiny: the exercise 'answer = ...' needs a markdown cell after it"):
        solved(notebook, "00_tiny")


def test_a_tidy_notebook_keeps_static_images_and_drops_bars():
    def output(**data):
        return nbformat.v4.new_output("display_data", {key.replace("_", "/"): value for key, value in data.items()})

    cell = code("")
    cell.outputs = [
        output(text_plain="  3%|▎| 3/100 [00:01<00:30, 3.2it/s]"),
        output(text_plain="FigureWidget({...})"),
        output(text_plain="Predict", text_html="<p>twin</p>"),
        output(text_plain="100%|█| printed, and no widget"),
        output(text_plain="<IPython.core.display.HTML object>", text_html=""),  # our own bar, once it is closed
    ]
    for widget in cell.outputs[:3]:
        widget.data[WIDGET] = {"model_id": "1"}
    kept = tidy(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert [part.data.get("text/html", "") for part in kept][1:] == ["<p>twin</p>", ""]
    assert "Run this cell in JupyterLab" in kept[0].data["text/html"]
    assert all(WIDGET not in part.data for part in kept)


LESSON = [
    text(
        "# A tiny *lesson*\n\nWith $A(x) = \\frac{1}{n}$ and $$\\varepsilon \\le 1$$ and $x_$.\n\n"
        "<details><summary>More</summary>\n\n```python\nhidden = 1\n```\n\n</details>"
    ),
    code(PARAMETERS, "parameters"),
    code(
        """
import os
import sys

import advad
import numpy as np
import plotly.graph_objects as go
from advad.lessons import lesson

lesson.start("00_tiny", parameters={"epochs": epochs, "device": "cpu"}, output_dir=output_dir)
"""
    ),
    code('guess = lesson.predict("Which one?", ["this", "that"], answer=answer)'),
    code(
        """
from tqdm.auto import tqdm

for _ in tqdm(range(2)):
    pass
lesson.show(go.Figure(go.Scatter(y=[1, 2], name="</script>")), "It rises to </script> 2.", alt="A rising line.")
lesson.image(np.eye(4), "Four of sixteen pixels are white.", alt="A diagonal.")
"""
    ),
    code(
        """
import ipywidgets as widgets

widgets.interact(lambda k: print("shown inside", k), k=(0, 3))
panel = widgets.Output()
with panel:
    print("also inside")
    panel.clear_output()
print("outside")
"""
    ),
    code("answer_to_it = ...", "exercise"),
    text("<details>\n\n```python\nanswer_to_it = 42\n```\n\n</details>", "solution"),
    code('lesson.check("it", answer_to_it, 42)'),
    code('lesson.reveal(guess, "that")'),
    code(
        """
places = {"python": sys.executable, "advad": advad.__file__, "cwd": os.getcwd()}
lesson.record("It <runs> & ends.", share=share, quiet=quiet, radius=radius, **places)
"""
    ),
]


one_worker = pytest.mark.xdist_group("tiny lesson")  # the tests of one execution share it


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return the outcome of a lesson run with solutions, where every kernel that is installed is a wrong one."""
    folder = tmp_path_factory.mktemp("odd {folder}")
    wrong = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    wrong.parent.mkdir(parents=True)
    wrong.write_text(json.dumps({"argv": ["false"], "display_name": "wrong", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        given = {"epochs": "7", "mode": "solution", "answer": "this", "share": "0.25", "quiet": "true"}
        notebook = write(folder / "notebooks" / "00_tiny.ipynb", *LESSON)
        return run_lesson(notebook, parameters=given, folder=folder / "runs", timeout=120, progress=False)


@one_worker
def test_a_lesson_runs_in_this_interpreter_with_its_parameters(ran):
    import advad

    results = ran.results
    assert results == json.loads((ran.page.parent / "00_tiny" / "results.json").read_text())
    assert (ran.lesson, ran.finding, ran.device, ran.error) == ("00_tiny", "It <runs> & ends.", "cpu", "")
    assert ran.seconds == results["seconds"]
    assert results["parameters"] == {"epochs": 7, "device": "cpu"}
    metrics = results["metrics"]
    assert (metrics["share"], metrics["quiet"], metrics["radius"]) == (0.25, True, 0.2)
    assert (metrics["python"], metrics["advad"]) == (sys.executable, advad.__file__)
    assert metrics["cwd"] == str(ran.page.parents[1] / "notebooks")
    assert results["checks"] == {"it": "right"}
    assert results["predictions"][0]["chosen"] == "this"
    assert results["predictions"][0]["truth"] == "that"


@one_worker
def test_the_executed_copy_is_small_and_free_of_widgets(ran):
    assert ran.notebook.stat().st_size < 100_000
    executed = nbformat.read(ran.notebook, as_version=4)
    nbformat.validate(executed)
    saved = ran.notebook.read_text()
    assert WIDGET not in saved
    assert "it/s]" not in saved
    printed = [output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output]
    assert printed == ["outside\n"]  # what is shown in a panel is the panel's; only its errors are the cell's
    assert "answer_to_it = ..." not in saved
    assert "widgets" not in executed.metadata


class Page(HTMLParser):
    """What a page is made of: its addresses, text alternatives, and its text outside scripts."""

    def __init__(self, path):
        super().__init__()
        self.links, self.alts, self.text, self.inside = [], [], "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        self.alts += [attributes[name] for name in ("alt", "aria-label") if name in attributes]
        self.inside = [*self.inside, tag] if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = self.inside[:-1] if tag in ("script", "style") else self.inside

    def handle_data(self, data):
        self.text += "" if self.inside else data


@one_worker
def test_the_page_is_whole_without_a_network(ran):
    page = Page(ran.page)
    assert not re.findall(r"https?://|url\(", page.source)
    assert "plotly.min.js" in page.links
    assert (ran.page.parent / "plotly.min.js").stat().st_size > 1_000_000
    assert "<title>A tiny lesson</title>" in page.source
    assert page.source.count('advadPlot("figure-') == 1
    assert page.source.count("</script>") == page.source.count("<script")
    assert {"A rising line.", "A diagonal."} <= set(page.alts)
    assert page.text.count("It rises to </script> 2.") == 2  # in the cell's code, and once as the caption
    assert page.source.count("<math") == 2
    assert "x_" in page.text  # a formula that cannot be read stays
    details = page.source.split("<summary>More</summary>")[1].split("</details>")[0]
    assert "hidden" in details


@one_worker
def test_the_overview_shows_what_was_found_and_what_failed(ran, tmp_path):
    failed = LessonResult("01_<broken>", tmp_path / "no.ipynb", tmp_path / "no.html", error="cell [2] failed with <b>")
    path = write_overview(ran.page.parent, [ran, failed])
    assert path == ran.page.parent / "index.html"
    page = Page(path)
    assert not re.findall(r"https?://|url\(", page.source)
    assert "1 of 2 lessons failed" in page.text
    assert page.text.count("It <runs> & ends.") == 1
    assert "Failed. cell [2] failed with <b>" in page.text
    assert page.source.count('<img src="data:image/png;base64,') == 1  # a thumbnail of the one that ran
    assert "<figure" not in page.source  # figures are on the lessons' own pages
    assert "00_tiny.html" in page.links
    assert "no.html" not in page.links
    assert f"torch {ran.results['versions']['torch']}" in page.text
    assert re.findall(r"<h\d", page.source) == ["<h1", "<h2", "<h2"]
    assert "index.html" in Page(ran.page).links


CALLBACK = """
import ipywidgets as widgets

slider, panel = widgets.IntSlider(), widgets.Output()

def answer(change):
    with panel:
        raise RuntimeError("nobody sees\\nthis")

slider.observe(answer, "value")
slider.value = 3
panel.clear_output()
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n1 / 0", r"cell \[1\] failed with ZeroDivisionError: division by zero"),
        (CALLBACK, r"cell \[1\] failed with RuntimeError: nobody sees"),
        ("import ipywidgets\nipywidgets.interact(lambda k: 1 / k, k=(0, 0));", r"cell \[1\] failed with ZeroDivision"),
        ("import time\ntime.sleep(60)", "a cell took more than 2 s"),
        ("import os\nos._exit(1)", "the kernel died"),
        ("x = 1", "it recorded nothing; its last cell should call lesson.record"),
    ],
    ids=["cell", "callback", "interact", "timeout", "death", "silence"],
)
def test_a_lesson_that_fails_is_told_in_one_line(tmp_path, source, message):
    notebook = write(tmp_path / "00_tiny.ipynb", code(source))
    stale = tmp_path / "runs" / "00_tiny" / "results.json"
    stale.parent.mkdir(parents=True)
    stale.write_text('{"finding": "of an earlier run"}')
    with pytest.raises(LessonError, match=rf"^00_tiny: {message}.*\. See .*00_tiny\.ipynb$") as caught:
        run_lesson(notebook, folder=tmp_path / "runs", timeout=2 if "sleep" in source else 60, progress=False)
    assert "\n" not in str(caught.value)
    outcome = caught.value.outcome
    assert re.match(message, outcome.error)
    assert outcome.finding == ""
    assert source.splitlines()[-1] in Page(outcome.page).text
    assert outcome.notebook.is_file()


def test_the_longest_lesson_begins_first_and_results_keep_their_order(monkeypatch, tmp_path):
    begun = []

    def quick(notebook, **settings):
        begun.append(notebook.stem)
        return LessonResult(notebook.stem, notebook, notebook.with_suffix(".html"))

    monkeypatch.setattr(run, "run_lesson", quick)
    paths = [*lessons(), tmp_path / "99_mine.ipynb"]  # the map knows nothing of the last
    rows = run_lessons({path: {} for path in paths}, folder=tmp_path, timeout=10, workers=1, progress=False)
    assert [row.lesson for row in rows] == [path.stem for path in paths]
    computes = {entry.name: entry.computes for entry in course_map()}
    assert begun == sorted(begun, key=lambda name: -computes.get(name, 0))
    assert (begun[-1], set(begun)) == ("99_mine", {path.stem for path in paths})


def test_nothing_runs_with_a_bad_parameter(tmp_path, tiny):
    with pytest.raises(ParameterError, match="epochs must be a whole number"):
        run_lesson(tiny, parameters={"epochs": "x"}, folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
