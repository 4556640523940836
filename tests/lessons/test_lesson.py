"""What lessons show, ask, check and record."""

import base64
import io
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

from advad import files
from advad.environment import UNATTENDED
from advad.lessons import answers, lesson
from advad.lessons.answers import EXERCISES
from advad.lessons.parameters import ParameterError


class Handle:
    """Of an output that can be replaced where it stands."""

    def __init__(self, outputs, place):
        self.outputs, self.place = outputs, place

    def update(self, bundle, *, raw, metadata):
        assert raw
        self.outputs[self.place] = (bundle, metadata["advad"])


@pytest.fixture
def shown(monkeypatch):
    """Return the list of what the lesson displays: (bundle, metadata)."""
    outputs = []

    def display(bundle, *, raw=False, metadata=None, display_id=None):
        if not raw:  # a widget
            outputs.append((bundle, {"kind": "explorer"}))
            return None
        outputs.append((bundle, metadata["advad"]))
        return Handle(outputs, len(outputs) - 1) if display_id else None

    monkeypatch.setattr(lesson, "display", display)
    monkeypatch.delenv(UNATTENDED, raising=False)
    return outputs


@pytest.fixture
def begun(tmp_path):
    lesson.start("00_test", parameters={"seed": 3, "device": "cpu"}, output_dir=tmp_path / "out")
    return lesson.running()


def written(state):
    return json.loads((state.output_dir / "results.json").read_text())


def text_of(shown):
    return shown[-1][0]["text/plain"]


def pixels_of(markup):
    source = re.findall(r'src="data:image/png;base64,([^"]+)"', markup)[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))


def test_nothing_works_before_start(monkeypatch, shown):
    monkeypatch.setattr(lesson, "_running", None)
    with pytest.raises(RuntimeError, match=r"lesson: start\(\) must come first"):
        lesson.check("name", 1, 1)
    assert not shown


@pytest.mark.parametrize(("profile", "boxes"), [("smoke", 1), ("lab", 0)])
def test_smoke_says_on_top_that_its_numbers_mean_nothing(tmp_path, profile, boxes, shown):
    lesson.start("00_test", parameters={"profile": profile, "device": "cpu"}, output_dir=tmp_path)
    assert [about["kind"] for _, about in shown] == ["smoke"] * boxes
    assert all("numbers mean nothing" in data["text/html"] for data, _ in shown)


@pytest.mark.parametrize(("profile", "threads"), [("smoke", 1), ("lab", 1), ("paper", 2)])
def test_small_lessons_take_one_thread(tmp_path, profile, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        lesson.start("00_test", parameters={"profile": profile, "device": "cpu"}, output_dir=tmp_path)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


CELL = 'normal: str = "8"  # the class\nsteps: int = 5  # [1, 10]\noutput_dir: str = "out"  # where'


def notebook(tmp_path, **values):
    """Return the globals of a notebook that has run the cell above, and values that papermill put after it."""
    return {"In": ["", CELL], "normal": "8", "steps": 5, "output_dir": str(tmp_path)} | values


def test_start_casts_a_notebooks_parameters_to_their_declared_types(tmp_path):
    """Plain papermill passes `-p normal 1` as a number, which must not become the second class."""
    namespace = notebook(tmp_path, normal=1, steps="7", output_dir=str(tmp_path / "new"))
    lesson.start("00_test", namespace)
    assert (namespace["normal"], namespace["steps"]) == ("1", 7)
    assert lesson.running().parameters == {"normal": "1", "steps": 7}
    assert lesson.running().output_dir == tmp_path / "new"
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 11}, r"00_test: steps must be in \[1, 10\]; got 11\."),
        ({"normal": 1.0}, r"00_test: normal must be text; got 1\.0\. papermill's -r passes a text as it is\."),
        ({"normal": True}, "00_test: normal must be text; got True"),
        ({"normal": [1]}, r"00_test: normal must be text; got \[1\]"),
        ({"In": ["", CELL + "\nepochs = 3"]}, "00_test: line 4 of its parameters must read"),
    ],
)
def test_start_refuses_parameters_that_do_not_fit_in_one_line(tmp_path, values, message):
    with pytest.raises(ParameterError, match=message) as caught:
        lesson.start("00_test", notebook(tmp_path, **values))
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"ParameterError: {caught.value}"]


@pytest.mark.parametrize("folder", ["file/below", "a\0b", "~nobody-of-this-name/x"])
def test_start_refuses_a_folder_where_nothing_can_be_written(tmp_path, monkeypatch, folder):
    """What a lesson needs at its end is checked before anything is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="^00_test: output_dir must be a folder to write in; got") as caught:
        lesson.start("00_test", {}, output_dir=folder)
    assert "\n" not in str(caught.value)


def test_start_tries_to_write_where_the_results_will_go(tmp_path, monkeypatch):
    """A folder that exists may still be read-only (here by decree: root may write anywhere)."""

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ParameterError, match=r"output_dir must be a folder to write in; .*\. Permission denied\.$"):
        lesson.start("00_test", {}, output_dir=tmp_path)


def test_results_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    lesson.start("00_test", notebook(tmp_path, output_dir="~/x"))
    assert lesson.running().output_dir == tmp_path / "x"


class Published:
    """A method with published settings for MNIST."""

    @classmethod
    def paper_settings(cls, dataset, paper=None):
        if dataset != "MNIST":
            raise ValueError("no settings")
        return {"epochs": 1600, "paper": paper}


def test_only_the_profile_paper_takes_the_published_settings(tmp_path):
    small = {"epochs": 3}
    lesson.start("00_test", {"profile": "lab", "device": "cpu"}, output_dir=tmp_path)
    assert lesson.settings(Published, small) == small
    lesson.start("00_test", {"profile": "paper", "device": "cpu"}, output_dir=tmp_path)
    assert lesson.settings(Published, small, paper="itsr") == {"epochs": 1600, "paper": "itsr"}
    assert lesson.settings(Published, small, dataset="digits") == small, "nothing is published"
    on_clothes = {"profile": "paper", "device": "cpu", "dataset": "FashionMNIST"}
    lesson.start("00_test", on_clothes, output_dir=tmp_path)
    assert lesson.settings(Published, small) == small, "those of the lesson's own data set"


def test_a_lesson_stops_where_the_data_does_not_fit_it(begun):
    lesson.require(True, "never shown")
    with pytest.raises(ParameterError, match=r"^00_test: folder must hold images\.$"):
        lesson.require(False, "folder must hold images.")


def test_a_finding_without_a_figure_is_shown_and_recorded(shown, begun):
    lesson.finding("No anomaly, no AUROC.")
    assert text_of(shown) == "Finding. No anomaly, no AUROC."
    assert shown[-1][1] == {"kind": "statement"}, "pages drop a finding, which is a figure's caption"
    assert begun.findings == ["No anomaly, no AUROC."]


def test_the_old_name_of_image_warns(shown, begun):
    with pytest.warns(DeprecationWarning, match="image"):
        lesson.picture(np.eye(2), "finding", "alt")
    assert shown[-1][1]["kind"] == "image"


def test_start_refuses_a_device_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="00_test: device must be one of 'auto'"):
        lesson.start("00_test", parameters={"device": "abacus"}, output_dir=tmp_path)


def test_a_figure_is_shown_once_as_json_with_its_finding(shown, begun):
    figure = go.Figure(go.Scatter(y=np.array([1.0, 2.0])), layout={"title": {"text": "Two points"}})
    before = figure.to_json()
    lesson.show(figure, "The second is twice <the> first.")
    lesson.show(figure, "The second is twice <the> first.", alt="A rising line.")  # the cell is run again
    (bundle, about), (finding, kind) = shown[:2]
    assert set(bundle) == {lesson.PLOTLY, "text/plain"}
    assert bundle[lesson.PLOTLY]["data"][0]["type"] == "scatter"
    assert "sendChartToCloud" in bundle[lesson.PLOTLY]["config"]["modeBarButtonsToRemove"]
    assert about == {"kind": "figure", "alt": "Two points", "finding": "The second is twice <the> first."}
    assert shown[2][1]["alt"] == "A rising line."
    assert kind == {"kind": "finding"}
    assert "twice &lt;the&gt; first" in finding["text/html"]
    assert finding["text/plain"] == "Finding. The second is twice <the> first."
    assert begun.findings == ["The second is twice <the> first."]
    assert figure.to_json() == before


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (np.array([[0, 255], [128, 7]], np.uint8), "L"),
        (torch.tensor([[0.0, 1.0], [128 / 255, 7 / 255]]), "L"),
        (torch.tensor([[[0, 255], [128, 7]]], dtype=torch.uint8), "L"),
        (np.array([[0, 255], [128, 7]], np.uint8)[..., None].repeat(3, 2), "RGB"),
        (Image.fromarray(np.array([[0, 255], [128, 7]], np.uint8)), "L"),
    ],
)
def test_an_image_keeps_its_pixels_and_has_its_texts(shown, begun, image, mode):
    lesson.image(image, 'Half of it is "dark".', alt='A "checkerboard" & more')
    bundle, about = shown[0]
    pixels = pixels_of(bundle["text/html"])
    assert (pixels.reshape(2, 2, -1)[..., 0] == [[0, 255], [128, 7]]).all()
    assert pixels.ndim == (2 if mode == "L" else 3)
    assert 'alt="A &quot;checkerboard&quot; &amp; more"' in bundle["text/html"]
    assert "max-width:480px" in bundle["text/html"]
    assert about == {"kind": "image", "alt": 'A "checkerboard" & more', "finding": 'Half of it is "dark".'}
    assert begun.findings == ['Half of it is "dark".']


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((2, 2, 2, 2)), ValueError, r"image must have shape \(H, W\), \(H, W, C\) or \(C, H, W\) with C = 1"),
        (np.zeros((4, 4, 2)), ValueError, "image must have shape"),
        (np.zeros((0, 4)), ValueError, "image must have shape"),
        (np.full((2, 2), 255.0), ValueError, r"must be in \[0, 1\] when float; got values from 255 to 255"),
        (np.full((2, 2), np.nan), ValueError, r"must be in \[0, 1\] when float"),
        (np.zeros((2, 2), int), TypeError, r"must be uint8 or float in \[0, 1\]; got ndarray of shape \(2, 2\)"),
    ],
)
def test_what_is_no_image_is_refused(shown, begun, image, error, message):
    with pytest.raises(error, match=message):
        lesson.image(image, "finding", "alt")
    assert not shown
    assert not begun.findings


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("It changes by -0.25 (from -1 to +0.5).", "It changes by −0.25 (from −1 to +0.5)."),
        ("-0.00, -0.000 and -0; -0.001 and -0.01", "0.00, 0.000 and 0; −0.001 and −0.01"),
        ("2026-11-29, 1e-05, 8-bit, l-1, f-AnoGAN, 5-10", "2026-11-29, 1e-05, 8-bit, l-1, f-AnoGAN, 5-10"),
    ],
)
def test_a_finding_has_a_true_minus(shown, begun, text, shown_as):
    lesson.finding(text)
    assert text_of(shown) == f"Finding. {shown_as}"
    assert begun.findings == [shown_as]


def test_a_prediction_is_replayed_and_revealed(shown, begun):
    guess = lesson.predict("Which digit?", ["1", "3"], answer="1")
    assert text_of(shown) == "Predicted. Which digit? 1"
    lesson.reveal(guess, "3", because="It has two bows.")
    assert text_of(shown) == "✗ Not as predicted. Predicted: 1. It is: 3. It has two bows."
    lesson.reveal(guess, "1")
    assert text_of(shown) == "✓ As predicted. Predicted: 1. It is: 1."
    lesson.record("done")
    expected = {"question": "Which digit?", "options": ["1", "3"], "chosen": "1", "truth": "1"}
    (prediction,) = written(begun)["predictions"]
    assert datetime.fromisoformat(prediction.pop("committed_at")).tzinfo is not None
    assert prediction == expected


def test_a_prediction_is_committed_by_hand_before_the_answer_shows(shown, begun):
    lesson.record("done")
    guess = lesson.predict("Which <digit>?", ["1", "3"])
    bundle, about = shown[-1]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "Which &lt;digit&gt;?" in bundle["text/html"]
    assert about == {"kind": "predict"}
    lesson.reveal(guess, "3", because="Two bows.")
    assert text_of(shown).startswith("Predict first. The answer appears here when")
    assert "bows" not in text_of(shown)

    box = lesson._prediction_widget(guess)
    choice, button = box.children[1:3]
    assert button.disabled
    choice.value = "3"
    assert not button.disabled
    assert guess.chosen is None
    button.click()
    assert guess.chosen == "3"
    assert choice.disabled
    assert button.disabled
    assert text_of(shown) == "✓ As predicted. Predicted: 3. It is: 3. Two bows."
    assert written(begun)["predictions"][0]["chosen"] == "3"
    lesson.reveal(guess, "3")
    assert text_of(shown).startswith("✓ As predicted.")


def kinds(shown):
    return [about["kind"] for _, about in shown]


def commit(guess, option):
    """Commit a prediction as a reader does."""
    choice, button = lesson._prediction_widget(guess).children[1:3]
    choice.value = option
    button.click()


def test_what_follows_a_prediction_appears_when_it_is_committed(shown, begun):
    figure = go.Figure(go.Scatter(y=[1.0, 2.0]), layout={"title": {"text": "Two points"}})
    guess = lesson.predict("Which digit?", ["1", "3"])
    lesson.show(figure, "Threes do.", after=guess)
    lesson.image(np.eye(2), "Two threes.", "A three", after=guess)
    lesson.finding("Three.", after=guess)
    lesson.reveal(guess, "3")
    lesson.record("Threes look like it.")
    assert kinds(shown) == ["predict", "held", "held", "held", "held", "held", "record"]
    assert not re.search("[Tt]hree", json.dumps([bundle for bundle, _ in shown[1:]])), "nothing is given away"
    assert [bundle["text/plain"].partition(" appears")[0] for bundle, _ in shown[1:6]] == [
        "Predict first. This figure",
        "",
        "Predict first. This image",
        "Predict first. This finding",
        "Predict first. The answer",
    ]
    commit(guess, "1")
    assert kinds(shown) == ["predict", "figure", "finding", "image", "statement", "reveal", "record"]
    assert shown[0][0]["text/plain"] == "Predicted. Which digit? 1"
    assert "application/vnd.jupyter.widget-view+json" not in shown[0][0], "a saved notebook shows the prediction"
    assert shown[1][0][lesson.PLOTLY]["data"][0]["type"] == "scatter"
    assert text_of(shown).startswith("Recorded. Threes look like it.")
    assert not begun.held


def test_an_output_waits_for_its_own_prediction_only(shown, begun):
    first, second = (lesson.predict(question, ["yes", "no"]) for question in ("First?", "Second?"))
    lesson.finding("of the first", after=first)
    lesson.finding("of the second", after=second)
    lesson.record("of both")
    commit(second, "yes")
    assert kinds(shown) == ["predict", "predict", "held", "statement", "record"]
    assert "of both" not in text_of(shown)
    commit(first, "no")
    assert "of both" in text_of(shown)
    lesson.finding("of the first again", after=first)
    assert text_of(shown) == "Finding. of the first again"


def test_without_a_reader_nothing_is_held_back(shown, begun, monkeypatch):
    monkeypatch.setenv(UNATTENDED, "1")
    guess = lesson.predict("Which digit?", ["1", "3"])
    lesson.finding("Threes.", after=guess)
    lesson.record("done")
    assert kinds(shown) == ["predict", "statement", "record"]


def test_a_commitment_outlives_its_cell_and_its_kernel(shown, begun):
    guess = lesson.predict("Which digit?", ["1", "3"])
    lesson.finding("Threes.", after=guess)
    assert lesson.predict("Which digit?", ["1", "3"]) is guess, "what is held waits for the cell that was run last"
    commit(guess, "1")
    assert text_of(shown) == "Predicted. Which digit? 1"
    lesson.record("done")
    when = guess.committed_at

    for parameters, chosen in (({"seed": 3}, "1"), ({"seed": 4}, None)):
        lesson.start("00_test", {"device": "cpu"} | parameters, output_dir=begun.output_dir)
        again = lesson.predict("Which digit?", ["1", "3"])
        assert again.chosen == chosen, "other parameters ask about something else"
        assert again.committed_at == (when if chosen else None)
    lesson.start("00_test", {"seed": 3, "device": "cpu"}, output_dir=begun.output_dir)
    assert lesson.predict("Which digit?", ["1", "5"]).chosen is None, "the options are others"


def test_a_commitment_before_the_record_outlives_its_kernel(shown, begun):
    """The file goes when all of it stands in results.json."""
    commit(lesson.predict("Which digit?", ["1", "3"]), "1")
    lesson.predict("Which other?", ["1", "3"])
    early = begun.output_dir / "predictions.json"
    assert not (begun.output_dir / "results.json").exists()
    for parameters, chosen in (({"seed": 4}, None), ({"seed": 3}, "1")):
        lesson.start("00_test", {"device": "cpu"} | parameters, output_dir=begun.output_dir)
        assert lesson.predict("Which digit?", ["1", "3"]).chosen == chosen
        assert lesson.predict("Which other?", ["1", "3"]).chosen is None
    commit(lesson.predict("Which other?", ["1", "3"]), "3")
    assert [each["chosen"] for each in json.loads(early.read_text())["predictions"]] == ["1", "3"]
    lesson.record("done")
    assert not early.exists()
    assert [each["chosen"] for each in written(lesson.running())["predictions"]] == ["1", "3"]


def test_without_a_commitment_nothing_is_written(shown, begun):
    lesson.predict("Which digit?", ["1", "3"])
    lesson.check("twice", 2, 2)
    assert list(begun.output_dir.iterdir()) == []


@pytest.mark.parametrize("file", ["results.json", "predictions.json"])
@pytest.mark.parametrize("content", ["", "[]", '{"parameters": {"seed": 3, "device": "cpu"}, "predictions": [{}]}'])
def test_a_damaged_record_holds_no_commitment(shown, begun, content, file):
    (begun.output_dir / file).write_text(content)
    lesson.start("00_test", {"seed": 3, "device": "cpu"}, output_dir=begun.output_dir)
    assert lesson.running().earlier == {}


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        (" ", ["a", "b"], "lesson: question must be a question"),
        ("Which?", ["a"], "lesson: options must be two or more different texts, none of them empty; got"),
        ("Which?", ["a", "a"], "lesson: options must be two or more different"),
        ("Which?", ["a", " "], "lesson: options must be two or more different"),
        ("Which?", [], "lesson: options must be two or more different"),
    ],
)
def test_a_question_without_a_possible_answer_is_refused(shown, begun, question, options, message):
    with pytest.raises(ValueError, match=message):
        lesson.predict(question, options)
    assert not shown


def test_without_a_reader_the_answer_is_shown(shown, begun, monkeypatch):
    guess = lesson.predict("Which digit?", ["1", "3"], answer="")
    monkeypatch.setenv(UNATTENDED, "1")
    lesson.reveal(guess, "3")
    assert text_of(shown) == "Revealed. It is: 3."


def test_what_is_no_option_is_refused(shown, begun):
    with pytest.raises(ValueError, match="lesson: prediction must be one of '1', '3'; got '8'"):
        lesson.predict("Which digit?", ["1", "3"], answer="8")
    with pytest.raises(ValueError, match="lesson: truth must be one of '1', '3'; got '8'"):
        lesson.reveal(lesson.predict("Which digit?", ["1", "3"]), "8")


def not_done(answer):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "correct", "state", "text"),
    [
        (0.31, 0.31, "right", "✓ Right. Exercise “it”."),
        (np.float32(0.25), 0.25, "right", "✓ Right"),
        (torch.tensor([1.0, 2.0]), [1, 2], "right", "✓ Right"),
        ([1, 2, 3], [1, 2], "wrong", "✗ Not right yet. Exercise “it”. Look again."),
        (0.3100001, 0.31, "right", "✓ Right"),
        (0.3101, 0.31, "wrong", "✗ Not right yet"),
        (float("nan"), 0.31, "wrong", "✗ Not right yet"),
        ("eight", "eight", "right", "✓ Right"),
        (True, False, "wrong", "✗ Not right yet"),
        ({1, 2}, {2, 1}, "right", "✓ Right"),
        (lambda x: 2 * x, lambda f: f(3) == 6, "right", "✓ Right"),
        (lambda x: 3 * x, lambda f: f(3) == 6, "wrong", "✗ Not right yet"),
        (lambda x: 1 / 0, lambda f: f(3) == 6, "wrong", "It raised ZeroDivisionError in line 1 of <lambda>: division"),
        ("text", 0.31, "wrong", "It raised ValueError"),
        (None, 0.31, "not attempted", "○ Not attempted. Exercise “it”. Replace the dots and run the cell."),
        (..., 0.31, "not attempted", "○ Not attempted"),
        (not_done, lambda f: f(3) == 6, "not attempted", "○ Not attempted"),
    ],
)
def test_an_exercise_is_right_wrong_or_not_attempted(shown, begun, answer, correct, state, text):
    lesson.check("it", answer, correct, hint="Look again.")
    assert text in text_of(shown)
    assert begun.checks == {"it": state}
    assert ("Look again." in text_of(shown)) == (state == "wrong")


def left_open(x): ...


def noted_but_open(x):
    """What it should do."""


def fails_late(x):
    y = x
    return y / 0


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        (lambda x: x + x, "right", "✓ Right. Exercise “double”."),
        (left_open, "not attempted", "○ Not attempted. Exercise “double”. Replace the dots and run the cell. Until"),
        (noted_but_open, "wrong", "It raised ValueError: the function returns None; is there a `return`? Add. Until"),
        (lambda x: x, "wrong", "✗ Not right yet. Exercise “double”. Add. Until then the lesson goes on with the"),
        (fails_late, "wrong", "It raised ZeroDivisionError in line 3 of fails_late: division by zero. Add."),
        (7, "wrong", "It raised TypeError: 'int' object is not callable. Add."),
    ],
)
def test_an_exercise_whose_answer_the_library_has(shown, begun, monkeypatch, answer, state, text):
    monkeypatch.setattr(lesson, "EXERCISES", EXERCISES.copy())
    monkeypatch.setattr(answers, "EXERCISES", lesson.EXERCISES)
    register = answers.function("00_test", "double", "Add.", "Write `<x> + x`.", lambda: [(1,), (np.arange(3),)])
    own = register(lambda x: 2 * x)
    goes_on_with = lesson.check("double", answer)
    assert goes_on_with is (answer if state == "right" else own)
    assert begun.checks == {"double": state}
    assert text in text_of(shown)
    assert ("A second hint</summary>Write <code>&lt;x&gt; + x</code>." in shown[-1][0]["text/html"]) == (
        state == "wrong"
    )
    assert "Write" not in text_of(shown)


def test_an_answer_may_change_what_it_gets(shown, begun, monkeypatch):
    """It is called with copies, so that what it does to them does no harm."""

    def in_place(values):
        values *= 2
        return values

    inputs = [(np.arange(3),)]
    assert answers.results(in_place, inputs)[0].tolist() == [0, 2, 4]
    assert inputs[0][0].tolist() == [0, 1, 2]


def test_an_explorer_is_shown_with_an_image_for_when_it_is_not_alive(shown, begun):
    class Explorer:
        def to_image(self):
            return Image.new("L", (4, 3))

        def summary(self):
            return "All is black."

    explorer = Explorer()
    lesson.explore(explorer, alt="Nothing")
    assert [shown[0][0], kinds(shown)] == [explorer, ["explorer", "image"]]
    markup = shown[1][0]["text/html"]
    assert markup.startswith('<div class="advad-fallback"><style>')
    assert pixels_of(markup).shape == (3, 4)
    assert begun.findings == ["All is black."]


def test_a_tolerance_is_kept(shown, begun):
    lesson.check("near", 0.95, 1.0, tolerance=0.03)
    lesson.check("far", 0.93, 1.0, tolerance=0.03)
    assert begun.checks == {"near": "right", "far": "wrong"}


@dataclass
class Interval:
    value: float
    low: np.float32


def test_the_record_holds_everything_as_json(shown, begun):
    lesson.check("it", 1, 1)
    assert not list(begun.output_dir.iterdir())
    lesson.record(
        "It works.",
        auroc=np.float64(0.5),
        count=np.int64(3),
        scores=torch.tensor([[1.0, 2.0]], requires_grad=True),
        counts=np.arange(2),
        interval=Interval(0.5, np.float32(0.25)),
        undefined=float("nan"),
        nested={"flags": (np.bool_(True), None), 8: "eight"},
        path=Path("a") / "b",
    )
    found = written(begun)
    assert found["lesson"] == "00_test"
    assert found["finding"] == "It works."
    assert found["parameters"] == {"seed": 3, "device": "cpu"}
    assert found["device"] == "cpu"
    assert found["metrics"] == {
        "auroc": 0.5,
        "count": 3,
        "scores": [[1.0, 2.0]],
        "counts": [0, 1],
        "interval": {"value": 0.5, "low": 0.25},
        "undefined": None,
        "nested": {"flags": [True, None], "8": "eight"},
        "path": str(Path("a") / "b"),
    }
    assert found["checks"] == {"it": "right"}
    assert found["seconds"] >= 0
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "It works." in text_of(shown)
    seconds = begun.seconds
    lesson.check("later", 1, 2)  # an exercise solved after the record
    assert written(begun)["checks"] == {"it": "right", "later": "wrong"}
    assert begun.seconds == seconds


def test_what_json_cannot_hold_is_named(shown, begun):
    with pytest.raises(
        TypeError, match=r"lesson.record: metrics.deep\[1\].bad must be made of numbers, .*; got <object"
    ):
        lesson.record("finding", deep=[1, {"bad": object()}])
    assert not list(begun.output_dir.iterdir())


def test_a_failed_write_leaves_the_old_record(shown, begun, monkeypatch):
    lesson.record("first")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        lesson.record("second")
    assert written(begun)["finding"] == "first"
    assert [file.name for file in begun.output_dir.iterdir()] == ["results.json"]
