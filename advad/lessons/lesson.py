"""What a lesson imports: show a finding, predict and reveal, check an exercise, record.

    from advad.lessons import lesson

    lesson.start("00_start", globals())
    lesson.image(images, "Other digits come back blurred.", alt="A row of digits over their reconstructions.")
    guess = lesson.predict("Which digit looks most like an 8?", ["1", "3", "5"], answer=prediction)
    lesson.show(figure, "Threes are mistaken most often.", alt="Bar chart of mean scores by digit.", after=guess)
    lesson.reveal(guess, "3", because="It is an 8 with its left half erased.")
    score = lesson.check("the score by hand", my_score)
    lesson.explore(explorer, alt="Images beside their reconstructions.")
    lesson.record("The autoencoder finds 94 % of the other digits.", auroc=0.94)

What comes `after` a prediction is held back until a reader has committed it, and then appears by itself. Where nobody
reads (papermill, tests, pages), nothing is held back.

Nothing here needs a network, and everything that is shown carries its own text: a figure is stored once, as
JSON, with its finding beside it, and `advad.lessons.pages` makes pages of both.
"""

from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import re
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from IPython.display import display

from advad.checks import check_choice, reject
from advad.environment import UNATTENDED
from advad.files import plain
from advad.lessons.answers import EXERCISES, equal
from advad.lessons.catalogue import find_lesson
from advad.lessons.outcome import NoLessonError
from advad.lessons.parameters import Parameter, ParameterError, parse_parameters, read_parameters
from advad.lessons.record import FILE, Held, Lesson, Prediction, earlier_predictions, output_folder
from advad.pages.html import asset
from advad.pages.notebook_html import BLUE, GREEN, GREY, RED, box
from advad.plots.images import image_markup, typeset

CACHE = "cache"  # beside the lessons' results: trainings that are kept
PLOTLY = "application/vnd.plotly.v1+json"
CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}

# In a saved notebook an explorer's widgets are gone, and JupyterLab says "Error displaying widget" where they were. The
# static image after them is to be seen exactly then, and the error is not.
FALLBACK = """<style>
.jp-OutputArea-child:has(.advad-explorer) + .jp-OutputArea-child .advad-fallback {display:none}
.jp-OutputArea-child:not(:has(.advad-explorer)):has(+ .jp-OutputArea-child .advad-fallback) {display:none}
</style>"""

Output = tuple[dict[str, Any], dict[str, Any]]  # a bundle to display, and what it is

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
    if UNATTENDED not in os.environ:
        _running.earlier = earlier_predictions(folder, values)
    if values.get("profile") == "smoke":
        text = "The profile “smoke” only shows that the lesson runs. Its numbers mean nothing."
        _put(lambda: _note("smoke", "A test run", text, RED))


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


def fit(detector: Any, images: Any, labels: Any = None, **settings: Any) -> Any:
    """Train a detector as its own `fit` does, or take the result of the same training from `runs/cache`; return it.

    Parameters
    ----------
    detector : Detector
    images, labels : as in `Detector.fit`
    **settings
        `on_epoch` and `progress`, as there.

    Notes
    -----
    The same training is one with the same parameters, images, labels, processor and code, so its result is the same.
    `advad run --no-cache` and `advad tour --no-cache` train anew.
    """
    from advad.lessons import trainings

    return trainings.fit(detector, images, labels, folder=running().output_dir.parent / CACHE, **settings)


def settings(
    method: Any, values: Mapping[str, Any], dataset: str | None = None, paper: str | None = None
) -> dict[str, Any]:
    """Return a method's arguments: in the profile "paper" the published ones, else `values`.

    Parameters
    ----------
    method : class of a detector
    values : mapping
        What the other profiles take; and what "paper" takes where no settings are published for this data set.
    dataset, paper : str, optional
        As in the method's `paper_settings`; by default the lesson's `dataset`, and MNIST in a lesson without one.
    """
    parameters = running().parameters
    if parameters.get("profile") != "paper":
        return dict(values)
    with contextlib.suppress(ValueError):  # nothing is published of it
        return method.paper_settings(dataset or parameters.get("dataset", "MNIST"), paper)
    return dict(values)


def show(figure: Any, finding: str, alt: str | None = None, *, after: Prediction | None = None) -> None:
    """Show a plotly figure, and under it the one sentence that it teaches.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        It is not changed.
    finding : str
        One sentence, computed from what the figure shows.
    alt : str, optional
        Alternative text for screen readers; by default the figure's title.
    after : Prediction, optional
        Figure and finding are held back until this prediction is committed.
    """
    payload = json.loads(figure.to_json())
    payload["config"] = CONFIG
    title = (figure.layout.title.text or "").replace("<br>", " ")
    alt, finding = alt or title or "Interactive figure", typeset(finding)
    running().saw(finding)
    about = {"kind": "figure", "alt": alt, "finding": finding}
    _put(lambda: ({PLOTLY: payload, "text/plain": f"[Figure: {alt}]"}, about), after, "This figure")
    _put(lambda: _with_plot_style(_note("finding", "Finding", finding)), after)


def finding(text: str, *, after: Prediction | None = None) -> None:
    """State a finding that has no figure; it may be held back until a prediction is committed."""
    text = typeset(text)
    running().saw(text)
    # pages leave a "finding" out: the figure before it has it as its caption
    _put(lambda: _note("statement", "Finding", text), after, "This finding")


def image(image: Any, finding: str, alt: str, *, width: int | None = None, after: Prediction | None = None) -> None:
    """Show an image with its text alternative, and its finding as the caption.

    Parameters
    ----------
    image : PIL.Image.Image, ndarray or Tensor of shape (H, W), (H, W, C) or (C, H, W)
        `uint8`, or floating point in [0, 1]; C is 1 or 3.
    finding, alt : str
        As in :func:`show`.
    width : int, optional
        In CSS pixels, at most; else as :func:`advad.plots.images.image_markup` says.
    after : Prediction, optional
        As in :func:`show`.
    """
    output = _image(image, typeset(finding), alt, width)
    running().saw(typeset(finding))
    _put(lambda: output, after, "This image")


def explore(explorer: Any, alt: str, *, after: Prediction | None = None) -> None:
    """Show an explorer; where its widgets are not alive, the same state as an image, with the summary as its caption.

    Parameters
    ----------
    explorer : Explorer
    alt : str
        What the image shows, for screen readers.
    after : Prediction, optional
        As in :func:`show`.
    """
    bundle, about = _image(explorer.to_image(), explorer.summary(), alt)
    bundle["text/html"] = f'<div class="advad-fallback">{FALLBACK}{_plot_style()}{bundle["text/html"]}</div>'
    running().saw(explorer.summary())
    if after is not None and _is_awaited(after):
        _hold(lambda handle: handle.update(_view(explorer)), (after,), _waiting("This explorer", after))
    else:
        display(explorer)
    _put(lambda: (bundle, about), after)


def _view(explorer: Any) -> Any:
    """Return an explorer's widgets, to stand where a note stood; a figure inside a box has its state sent only so."""
    from advad.explorers.base import figures_in

    for figure in figures_in(explorer.view):
        figure._repr_mimebundle_()
    return explorer.view


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

    A prediction that was committed stays: when the cell is run again, and when the lesson is run again with the same
    parameters.

    Parameters
    ----------
    question : str
    options : sequence of str
        At least two, each of which may turn out to be true.
    answer : str, optional
        A prediction that is committed at once, so that a run without a reader can replay one; "" is none.

    Returns
    -------
    Prediction
        For :func:`reveal`, and for what is shown `after` it.

    Raises
    ------
    ValueError
        An empty question, fewer than two options, an empty or repeated one, or an answer that is none of them.
    """
    texts = tuple(str(option).strip() for option in options)
    if not question.strip():
        reject("lesson", "question", "be a question", question)
    if len(set(texts)) < max(2, len(texts)) or not all(texts):
        reject("lesson", "options", "be two or more different texts, none of them empty", list(options))
    current = running()
    prediction = current.predictions.get(question) or current.earlier.get(question)
    if prediction is None or prediction.options != texts:
        prediction = Prediction(question, texts)
    current.predictions[question] = prediction
    if answer:
        _commit(prediction, answer)
    if prediction.chosen is not None:
        _put(lambda: _predicted(prediction))
    else:
        _ask(prediction)
    current.release()
    return prediction


def _ask(prediction: Prediction) -> None:
    """Display the question with its controls, which give way to the prediction once it is committed."""
    choices = "".join(f"<li>{html.escape(option)}</li>" for option in prediction.options)
    row = "display:flex;flex-wrap:wrap;gap:.1rem 2.2rem;margin:.3rem 0;padding-left:1.2rem"
    markup = box("Predict", f"{html.escape(prediction.question)}<ul style='{row}'>{choices}</ul>")
    view = _prediction_widget(prediction)._repr_mimebundle_() or {}
    text = f"Predict: {prediction.question} {' / '.join(prediction.options)}"
    bundle = dict(view) | {"text/html": markup, "text/plain": text}
    handle = display(bundle, raw=True, metadata={"advad": {"kind": "predict"}}, display_id=True)
    running().held.append(Held((prediction,), lambda: _update(handle, _predicted(prediction))))


def _predicted(prediction: Prediction) -> Output:
    return _note("predict", "Predicted", f"{prediction.question} {prediction.chosen}")


def reveal(prediction: Prediction, truth: str, because: str = "") -> None:
    """Show the answer beside the prediction, once a reader has committed one.

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

    def answer() -> Output:
        label, colour = "Revealed", BLUE
        text = f"It is: {truth}."
        if prediction.chosen is not None:
            as_predicted = prediction.chosen == truth
            label, colour = ("✓ As predicted", GREEN) if as_predicted else ("✗ Not as predicted", RED)
            text = f"Predicted: {prediction.chosen}. {text}"
        return _note("reveal", label, typeset(f"{text} {because}".strip()), colour)

    _put(answer, prediction, "The answer")
    running().save()


def check(
    name: str,
    answer: Any,
    correct: Any = None,
    hint: str | tuple[str, str] = "",
    *,
    tolerance: float = 1e-6,
) -> Any:
    """Say whether an exercise's answer is right, wrong (with hints), or not attempted; and record it.

    Parameters
    ----------
    name : str
        The exercise, unique in the lesson.
    answer : object
        None, `...` or a function whose body is `...` counts as not attempted. Else a value, or a function that the
        exercise asked for.
    correct : object or callable, optional
        The value; or a test of the answer that returns true or false. An exception inside it makes the answer
        wrong, and is shown; NotImplementedError makes it not attempted. By default what `advad.lessons.answers` says
        of the exercise of this name, so that the notebook does not show it.
    hint : str or (str, str)
        Shown with a wrong answer: a nudge, and folded under it a recipe.
    tolerance : float
        How far numbers may be off: this much, and this share of the correct value.

    Returns
    -------
    object
        What the lesson goes on with: the answer where it is right, else the library's own.
    """
    current, detail, fallback = running(), "", correct
    exercise = EXERCISES[current.name, name] if correct is None else None
    if exercise is not None:
        correct, hint, fallback = exercise.accepts, exercise.hints, exercise.own
    if answer is None or answer is ... or _is_left_open(answer):
        state = "not attempted"
    else:
        try:
            right = correct(answer) if callable(correct) else equal(answer, correct, tolerance)
            state = "right" if right else "wrong"
        except NotImplementedError:
            state = "not attempted"
        except Exception as error:  # a reader's code may fail in any way, and is told how
            state, detail = "wrong", _what_failed(error, answer)
    label, colour = {
        "right": ("✓ Right", GREEN),
        "wrong": ("✗ Not right yet", RED),
        "not attempted": ("○ Not attempted", GREY),
    }[state]
    nudge, recipe = (hint, "") if isinstance(hint, str) else hint
    advice = {"wrong": nudge, "not attempted": "Replace the dots and run the cell."}.get(state, "")
    parts = [f"Exercise “{name}”.", detail, advice]
    if exercise is not None and state != "right":
        parts.append("Until then the lesson goes on with the library's own.")
    text = " ".join(filter(None, parts))
    markup = _with_code(text)
    if recipe and state == "wrong":
        markup += f"<details><summary>A second hint</summary>{_with_code(recipe)}</details>"
    bundle = {"text/html": box(label, markup, colour), "text/plain": f"{label}. {text}"}
    _put(lambda: (bundle, {"kind": "check"}))
    current.checks[name] = state
    current.save()
    return answer if state == "right" else fallback


def _is_left_open(answer: Any) -> bool:
    """Return whether an answer is a function whose body is still `...`."""

    def left_open() -> None: ...

    code = getattr(answer, "__code__", None)
    return code is not None and code.co_code == left_open.__code__.co_code


def _what_failed(error: Exception, answer: Any) -> str:
    """Return what was raised, and in which line of a reader's function, where it is in one."""
    code = getattr(answer, "__code__", None)
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [line - own.co_firstlineno + 1 for own, line in frames if own is code]
    place = f" in line {lines[-1]} of {code.co_name}" if code is not None and lines else ""
    message = str(error)
    return f"It raised {type(error).__name__}{place}: {message}" + "." * (not message.endswith((".", "?", "!")))


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
    lesson, finding = running(), typeset(finding)
    lesson.finding, lesson.metrics = finding, plain(metrics, "metrics")
    lesson.seconds = time.perf_counter() - lesson.began
    lesson.save()
    facts = f"({lesson.seconds:.0f} s on {lesson.device}; {lesson.output_dir.name}/{FILE})"
    waiting = tuple(each for each in lesson.predictions.values() if _is_awaited(each))
    if waiting:
        note = _note("record", "Recorded", f"The finding shows when you have committed your predictions. {facts}", GREY)
        _hold(lambda handle: _update(handle, _note("record", "Recorded", f"{finding} {facts}")), waiting, note)
    else:
        _put(lambda: _note("record", "Recorded", f"{finding} {facts}"))


# ---------------------------------------------------------------- outputs, and how they are held back


def _with_code(text: str) -> str:
    """Return a text as HTML, in which `name` stands in the font of code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _note(kind: str, label: str, text: str, colour: str = BLUE) -> Output:
    """Return a note's bundle, and what it is."""
    return {"text/html": box(label, html.escape(text), colour), "text/plain": f"{label}. {text}"}, {"kind": kind}


def _with_plot_style(output: Output) -> Output:
    """Return an output with the style by which a plot beside it takes the ink of JupyterLab's theme."""
    bundle, about = output
    return bundle | {"text/html": _plot_style() + bundle["text/html"]}, about


@functools.cache
def _plot_style() -> str:
    return f"<style>{asset('jupyter_plots.css')}</style>"


def _image(image: Any, finding: str, alt: str, width: int | None = None) -> Output:
    """Return an image's bundle, and what it is."""
    (element, _), caption = image_markup(image, alt, width), box("Finding", html.escape(finding))
    bundle = {
        "text/html": f'<figure style="margin:.6rem 0">{element}<figcaption>{caption}</figcaption></figure>',
        "text/plain": f"[Image: {alt}] {finding}",
    }
    return bundle, {"kind": "image", "alt": alt, "finding": finding}


def _is_awaited(prediction: Prediction | None) -> bool:
    return prediction is not None and prediction.chosen is None and UNATTENDED not in os.environ


def _put(output: Callable[[], Output], after: Prediction | None = None, what: str = "") -> None:
    """Display an output, or hold it back behind a note that names `what` waits; without a name the note is empty."""
    if after is None or not _is_awaited(after):
        bundle, about = output()
        display(bundle, raw=True, metadata={"advad": about})
    else:
        _hold(lambda handle: _update(handle, output()), (after,), _waiting(what, after))


def _waiting(what: str, after: Prediction) -> Output:
    """Return the note that stands where something is held back."""
    if not what:
        return {"text/html": "", "text/plain": ""}, {"kind": "held"}
    text = f"{what} appears here when you have committed your prediction: {after.question}"
    return _note("held", "Predict first", text, GREY)


def _hold(release: Callable[[Any], object], predictions: tuple[Prediction, ...], note: Output) -> None:
    """Display a note, which gives way to what `release` puts in its place once all predictions are committed."""
    bundle, about = note
    handle = display(bundle, raw=True, metadata={"advad": about}, display_id=True)
    running().held.append(Held(predictions, lambda: release(handle)))


def _update(handle: Any, output: Output) -> None:
    bundle, about = output
    handle.update(bundle, raw=True, metadata={"advad": about})


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
    errors = widgets.Output()

    def choose(change: Any) -> None:
        button.disabled = change["new"] is None

    def commit(_: Any) -> None:
        with errors:
            _commit(prediction, str(choice.value))
            choice.disabled = button.disabled = True
            running().release()

    choice.observe(choose, "value")
    button.on_click(commit)
    title = widgets.HTML(f"<strong>Predict.</strong> {html.escape(prediction.question)}")
    box = widgets.VBox([title, choice, button, errors])
    box.layout = widgets.Layout(max_width="46rem", padding=".4rem .9rem", border_left=f"4px solid {BLUE}")
    return box


def _describe(device: Any) -> str:
    if device.type == "cuda":
        import torch

        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
