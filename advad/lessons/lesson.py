"""What a lesson imports: show a finding, predict and reveal, check an exercise, record.

    from advad.lessons import lesson

    lesson.start("00_start", globals())
    guess = lesson.predict("Which digit looks most like an 8?", ["1", "3", "5"], answer=prediction)
    lesson.show(figure, "Threes are mistaken for eights most often.", alt="Bar chart of mean scores by digit.")
    lesson.image(images, "Other digits come back blurred.", alt="A row of digits over their reconstructions.")
    lesson.reveal(guess, "3", because="It is an 8 with its left half erased.")
    lesson.check("threshold", answer, 0.31, hint="Sort the held-out scores first.")
    lesson.record("The autoencoder finds 94 % of the other digits.", auroc=0.94)

Nothing here needs a network, and everything that is shown carries its own text: a figure is stored once, as
JSON, with its finding beside it, and `advad.lessons.pages` makes pages of both.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from IPython.display import display

from advad.checks import check_choice
from advad.environment import UNATTENDED
from advad.files import plain
from advad.lessons.catalogue import find_lesson
from advad.lessons.outcome import NoLessonError
from advad.lessons.parameters import Parameter, ParameterError, parse_parameters, read_parameters
from advad.lessons.record import FILE, Lesson, Prediction, output_folder
from advad.pages.notebook_html import BLUE, GREEN, GREY, RED, box, say
from advad.plots.images import image_markup

PLOTLY = "application/vnd.plotly.v1+json"
CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}

_running: Lesson | None = None


def start(name: str, parameters: dict[str, Any], output_dir: str | os.PathLike[str] | None = None) -> None:
    """Begin a lesson: its parameters in their declared types, its clock, and what it records.

    Parameters
    ----------
    name : str
        The notebook's name, such as "00_start".
    parameters : dict of str to object
        In a notebook `globals()`: each parameter that the notebook declares is checked, and replaced there by its
        value in the declared type. Elsewhere the values themselves. "device" among them is resolved and recorded. On
        a processor, the profiles "smoke" and "lab" take one thread: so small networks gain little from more, and
        much is lost when threads wait for each other beside other work (lessons 01, 02 and 07 on two idle cores: two
        threads took 1.0 to 2.7 times as long asleep while waiting, as `kernel.waiting_threads` has them, and 0.6
        to 1.0 times as long spinning).
    output_dir : path, optional
        Where record() will write `results.json`; by default the parameter of that name.

    Raises
    ------
    ParameterError
        A value that does not fit, or an `output_dir` where nothing can be written.
    """
    import torch

    from advad.engine.training import choose_device

    global _running
    declared = _declared(name, parameters)
    values = {key: rule.check(name, parameters[key]) for key, rule in declared.items()} or dict(parameters)
    folder = output_folder(name, output_dir if output_dir is not None else values["output_dir"])
    if declared:
        parameters.update(values, output_dir=str(folder))
    values.pop("output_dir", None)
    device = choose_device(str(values.get("device", "auto")), name)
    if device.type == "cpu" and values.get("profile") in ("smoke", "lab"):
        torch.set_num_threads(1)
    _running = Lesson(name, values, folder, _describe(device))
    if values.get("profile") == "smoke":
        say(
            "smoke", "A test run", "The profile “smoke” only shows that the lesson runs. Its numbers mean nothing.", RED
        )


def _declared(name: str, namespace: dict[str, Any]) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares: in a cell that was run, else in the lesson of that name.

    IPython's `In` holds the cells that were run; nbval runs cells without it.
    """
    cells = [source for source in namespace.get("In", ()) if re.search(r"^output_dir\s*:", source, re.MULTILINE)]
    if cells:
        return parse_parameters(cells[-1], name)
    with contextlib.suppress(NoLessonError):
        return read_parameters(find_lesson(name)) if "In" in namespace else {}
    return {}


def running() -> Lesson:
    """Return the state of the running lesson; RuntimeError before start()."""
    if _running is None:
        raise RuntimeError("lesson: start() must come first. Run the notebook's first cells.")
    return _running


def settings(
    method: Any, values: Mapping[str, Any], dataset: str = "MNIST", paper: str | None = None
) -> dict[str, Any]:
    """Return a method's arguments: in the profile "paper" the published ones, else `values`.

    Parameters
    ----------
    method : class of a detector
    values : mapping
        What the other profiles take; and what "paper" takes where no settings are published for this data set.
    dataset, paper : str
        As in the method's `paper_settings`.
    """
    if running().parameters.get("profile") != "paper":
        return dict(values)
    with contextlib.suppress(ValueError):  # nothing is published of it
        return method.paper_settings(dataset, paper)
    return dict(values)


def show(figure: Any, finding: str, alt: str | None = None) -> None:
    """Show a plotly figure, and under it the one sentence that it teaches.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        It is not changed.
    finding : str
        One sentence, computed from what the figure shows.
    alt : str, optional
        Alternative text for screen readers; by default the figure's title.
    """
    payload = json.loads(figure.to_json())
    payload["config"] = CONFIG
    alt = alt or figure.layout.title.text or "Interactive figure"
    running().saw(finding)
    kind = {"advad": {"kind": "figure", "alt": alt, "finding": finding}}
    display({PLOTLY: payload, "text/plain": f"[Figure: {alt}]"}, raw=True, metadata=kind)
    say("finding", "Finding", finding)


def finding(text: str) -> None:
    """State a finding that has no figure."""
    running().saw(text)
    say("statement", "Finding", text)  # pages leave a "finding" out: the figure before it has it as its caption


def image(image: Any, finding: str, alt: str, *, width: int | None = None) -> None:
    """Show an image with its text alternative, and its finding as the caption.

    Parameters
    ----------
    image : PIL.Image.Image, ndarray or Tensor of shape (H, W), (H, W, C) or (C, H, W)
        `uint8`, or floating point in [0, 1]; C is 1 or 3.
    finding, alt : str
        As in :func:`show`.
    width : int, optional
        In CSS pixels, at most; else as :func:`advad.plots.images.image_markup` says.
    """
    (element, _), caption = image_markup(image, alt, width), box("Finding", html.escape(finding))
    running().saw(finding)
    kind = {"advad": {"kind": "image", "alt": alt, "finding": finding}}
    bundle = {
        "text/html": f'<figure style="margin:.6rem 0">{element}<figcaption>{caption}</figcaption></figure>',
        "text/plain": f"[Image: {alt}] {finding}",
    }
    display(bundle, raw=True, metadata=kind)


def picture(*arguments: Any, **options: Any) -> None:
    """Show an image; the former name of `image`."""
    warnings.warn("lesson: picture() is called image() now.", DeprecationWarning, stacklevel=2)
    image(*arguments, **options)


def require(condition: Any, rule: str) -> None:
    """Stop the lesson in one line where the data does not fit it, before anything is trained.

    Parameters
    ----------
    condition : bool
    rule : str
        What must hold, what holds, and what to do.

    Raises
    ------
    ParameterError
        The condition does not hold.
    """
    if not condition:
        raise ParameterError(f"{running().name}: {rule}")


def predict(question: str, options: Sequence[str], answer: str | None = None) -> Prediction:
    """Ask for a prediction, to be committed before the result is shown.

    Parameters
    ----------
    question : str
    options : sequence of str
    answer : str, optional
        A prediction that is committed at once, so that a run without a reader can replay one; "" is none.

    Returns
    -------
    Prediction
        For :func:`reveal`.
    """
    prediction = Prediction(question, tuple(map(str, options)))
    running().predictions[question] = prediction
    if answer:
        _commit(prediction, answer)
        say("predict", "Predicted", f"{question} {prediction.chosen}")
        return prediction
    choices = "".join(f"<li>{html.escape(option)}</li>" for option in prediction.options)
    row = "display:flex;flex-wrap:wrap;gap:.1rem 2.2rem;margin:.3rem 0;padding-left:1.2rem"
    markup = box("Predict", f"{html.escape(question)}<ul style='{row}'>{choices}</ul>")
    view = _prediction_widget(prediction)._repr_mimebundle_() or {}
    bundle = dict(view) | {"text/html": markup, "text/plain": f"Predict: {question} {' / '.join(prediction.options)}"}
    display(bundle, raw=True, metadata={"advad": {"kind": "predict"}})
    return prediction


def reveal(prediction: Prediction, truth: str, because: str = "") -> None:
    """Show the answer beside the prediction; while a reader has committed none, ask for it instead.

    Parameters
    ----------
    prediction : Prediction
        What :func:`predict` returned.
    truth : str
        One of its options, as measured.
    because : str
        The reason, in a sentence or two.
    """
    check_choice("lesson", "truth", truth, prediction.options)
    prediction.truth = truth
    if prediction.chosen is None and UNATTENDED not in os.environ:
        say("reveal", "Predict first", "Commit a prediction above, then run this cell again.", GREY)
        return
    label, colour = "Revealed", BLUE
    text = f"It is: {truth}."
    if prediction.chosen is not None:
        as_predicted = prediction.chosen == truth
        label, colour = ("✓ As predicted", GREEN) if as_predicted else ("✗ Not as predicted", RED)
        text = f"Predicted: {prediction.chosen}. {text}"
    say("reveal", label, f"{text} {because}".strip(), colour)
    running().save()


def check(name: str, answer: Any, correct: Any, hint: str = "", *, tolerance: float = 1e-6) -> None:
    """Say whether an exercise's answer is right, wrong (with the hint), or not attempted; and record it.

    Parameters
    ----------
    name : str
        The exercise, unique in the lesson.
    answer : object
        None or `...` counts as not attempted. Else a value, or a function that the exercise asked for.
    correct : object or callable
        The value; or a test of the answer that returns true or false. An exception inside it makes the answer
        wrong, and is shown; NotImplementedError makes it not attempted.
    hint : str
        Shown with a wrong answer.
    tolerance : float
        How far numbers may be off: this much, and this share of the correct value.
    """
    current, detail = running(), ""
    if answer is None or answer is ...:
        state = "not attempted"
    else:
        try:
            right = correct(answer) if callable(correct) else _equal(answer, correct, tolerance)
            state = "right" if right else "wrong"
        except NotImplementedError:
            state = "not attempted"
        except Exception as error:  # a reader's code may fail in any way, and is told how
            state, detail = "wrong", f"It raised {type(error).__name__}: {error}."
    label, colour = {
        "right": ("✓ Right", GREEN),
        "wrong": ("✗ Not right yet", RED),
        "not attempted": ("○ Not attempted", GREY),
    }[state]
    advice = hint if state == "wrong" else "Replace the dots and run the cell." if state == "not attempted" else ""
    say("check", label, " ".join(filter(None, [f"Exercise “{name}”.", detail, advice])), colour)
    current.checks[name] = state
    current.save()


def record(finding: str, **metrics: Any) -> None:
    """Write `results.json`: the lesson's finding, its metrics, and all that was checked and predicted.

    Parameters
    ----------
    finding : str
        The lesson in one sentence, with its numbers.
    **metrics
        What was measured: numbers, arrays, tensors, dataclasses; in lists and dictionaries of these.

    Raises
    ------
    TypeError
        A value that JSON cannot hold.
    """
    lesson = running()
    lesson.finding, lesson.metrics = finding, plain(metrics, "metrics")
    lesson.seconds = time.perf_counter() - lesson.began
    lesson.save()
    text = f"{finding} ({lesson.seconds:.0f} s on {lesson.device}; {lesson.output_dir.name}/{FILE})"
    say("record", "Recorded", text)


def _commit(prediction: Prediction, answer: str) -> None:
    check_choice("lesson", "prediction", answer, prediction.options)
    prediction.chosen, prediction.committed_at = answer, datetime.now(UTC).isoformat(timespec="seconds")
    running().save()


def _prediction_widget(prediction: Prediction) -> Any:
    """Return radio buttons and a button that commits; an error in its callback shows below them."""
    import ipywidgets as widgets

    wide = widgets.Layout(width="auto")
    choice = widgets.RadioButtons(options=prediction.options, value=None, layout=wide)
    button = widgets.Button(description="Commit my prediction", disabled=True, layout=wide, button_style="primary")
    note = widgets.HTML()
    errors = widgets.Output()

    def choose(change: Any) -> None:
        button.disabled = change["new"] is None

    def commit(_: Any) -> None:
        with errors:
            _commit(prediction, str(choice.value))
            choice.disabled = button.disabled = True
            note.value = f"✓ Committed: <strong>{html.escape(str(choice.value))}</strong>. Go on to see."

    choice.observe(choose, "value")
    button.on_click(commit)
    title = widgets.HTML(f"<strong>Predict.</strong> {html.escape(prediction.question)}")
    box = widgets.VBox([title, choice, widgets.HBox([button, note]), errors])
    box.layout = widgets.Layout(max_width="46rem", padding=".4rem .9rem", border_left=f"4px solid {BLUE}")
    return box


def _equal(answer: Any, correct: Any, tolerance: float) -> bool:
    if isinstance(correct, (str, bool, set, dict)):
        return bool(answer == correct)
    values, wanted = (np.asarray(plain(value, "answer"), dtype=float) for value in (answer, correct))
    return values.shape == wanted.shape and np.allclose(values, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def _describe(device: Any) -> str:
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
