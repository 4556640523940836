"""The lessons by papermill: each runs unsolved, its solutions check right, and wrong answers are told they are.

`pytest tests/lessons/test_notebooks.py --profile lab --device cuda` runs them elsewhere and larger.
"""

import ast
import copy
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

import advad
from advad.lessons.catalogue import find_lesson, lessons
from advad.lessons.exercises import FENCE
from advad.lessons.parameters import ParameterError, read_parameters
from advad.lessons.run import run_lesson
from tests import ROOT

LESSONS = lessons()
WRONG = {  # one planted wrong answer an exercise
    "00_start": [
        "def my_score(p, r): return abs(p / 255 - r).mean((1, 2, 3))",
        "def my_auroc(a, n): return (a[:, None] >= n).mean()",
        "def my_threshold(scores, rate): return scores.max() + 1",
    ],
    "02_contamination": [
        "def my_bacc(s, y, t): return ((s > t) == y).mean()",
        "def my_enrichment(f, s): return s[f].mean()",
        "def my_rule(e, p, a, b): return (e > a) & (p < b)",
    ],
    "03_latent_space": [
        "def my_invented(a, b): return len(set(a) & set(b))",
        "def my_path(a, b, n): return np.linspace(b, a, n)",
    ],
    "04_saliency": [
        "def my_covered(image, row, column, patch, fill): image[:, row, column] = fill; return image",
        "def my_iou(values, mask): return (values > values.mean()).mean()",
    ],
    "05_noise": [
        "def my_blend(x, n, alpha): return alpha * n + (1 - alpha) * x",
        "def my_strength(x, changed): return abs(changed - x).mean()",
    ],
    "06_attacks": [
        "def my_step(x, delta, uphill, step, size): return delta + step * uphill.sign()",
        "def my_far_end(x, r, size): return x",
        "def my_cosine(a, b): return (a * b).sum(1)",
    ],
    "07_few_labels": [
        "def my_number(n, gamma): return n * gamma",
        "def my_contextual(G, x): return -abs(x - G(x)).mean()",
        "def my_sad_loss(d, y): return d.mean()",
    ],
    "01_identity_collapse": [
        "def my_rate(e, m): return e / m",
        "def my_step(delta, gradient, step, radius): return delta + step",
    ],
    "08_how_to_cheat": [
        "def my_batch_norm(h, eps=1e-5): return h - h.mean(0)",
        "def my_seeds(n_normal, n_other, goal): return 1",
    ],
    "09_your_images": [
        "def my_needed(limit): return 20",
        "def my_p_values(scores, held_scores): return scores / max(held_scores)",
    ],
    "10_scoreboard": [
        "def my_summary(a): return a.mean(), a.std(ddof=1)",
        "def my_flattery(a): return a.max() - a.mean()",
    ],
    "11_where_anomalies_live": [
        "def my_distance(z): return (z**2).sum(1)",
        "def my_share(z, size): return (z > size).mean()",
        "def my_d_I(G, E, z): return abs(z - E(G(z))).mean()",
    ],
}
AGAIN = ("00_start",)  # run by nbval, too: a second execution takes its time


def lesson_of(path, *marks):
    """Return a lesson as a parameter; one worker has all its tests, which share one execution."""
    return pytest.param(path, id=path.stem, marks=[pytest.mark.xdist_group(path.stem), *marks])


each_lesson = pytest.mark.parametrize("path", [lesson_of(path) for path in LESSONS])


def tags(cell):
    return cell.metadata.get("tags", [])


def with_three_answers(notebook, wrong):
    """Return the notebook with each exercise attempted three times: not at all, by its solution, and wrongly.

    The cell after an exercise is its check. A prediction of what is said is kept in the checks' own ids.
    """
    cells, wrong = [], list(wrong)
    for k, cell in enumerate(notebook.cells):
        cells.append(cell)
        if k and "exercise" in tags(notebook.cells[k - 1]):
            solution = next(c for c in notebook.cells[k:] if "solution" in tags(c))
            for name, source in (("right", "\n".join(FENCE.findall(solution.source))), ("wrong", wrong.pop(0))):
                answer = nbformat.v4.new_code_cell(source, id=f"{cell.id}-answer-{name}")
                check = copy.deepcopy(cell)
                check.id = f"{cell.id}-{name}"
                cells += [answer, check]
    assert not wrong
    notebook.cells = cells
    return notebook


def shows_unsaid(cell):
    """Return whether a cell ends with a value that Jupyter shows by itself, and that is no explorer's name."""
    last = ast.parse(cell.source).body[-1:]
    if not last or not isinstance(last[0], ast.Expr):
        return False
    return not re.match(r"(lesson\.\w+|print)\(|\w+$", ast.unparse(last[0]))


def said(cell):
    return " ".join(json.dumps(output.get("data", {}), ensure_ascii=False) for output in cell.outputs)


@pytest.mark.xdist_group("together")
def test_workers_keep_the_tests_of_a_group_together(request):
    """Where they do not (pytest-xdist issue 1386), lessons run twice, and two browsers at a time."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("needs workers: this run has none (-n0)")
    assert request.node.nodeid.endswith("@together")


@each_lesson
def test_in_git_a_lesson_is_clean_and_whole(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert not any(cell.id.isdigit() or len(cell.id) < 3 for cell in notebook.cells), "cells have speaking ids"
    assert all(len(cell.source.splitlines()) <= 25 for cell in code if not is_folded(cell))
    assert not any(map(shows_unsaid, code)), "figures are shown by lesson.show, with their finding"
    assert sum("parameters" in tags(cell) for cell in code) == 1
    assert f'lesson.start("{path.stem}", globals())' in "\n".join(cell.source for cell in code), "casts parameters"
    assert {"profile", "device", "seed", "mode", "output_dir"} <= set(read_parameters(path))
    n_exercises = sum("exercise" in tags(cell) for cell in code)
    assert n_exercises == sum("solution" in tags(c) for c in notebook.cells)
    assert 2 <= n_exercises <= 4
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for part in (
        "After this lesson you can",
        "## Predict",
        "## Open task",
        "## Where this fails",
        "## Recap",
        "## References",
    ):
        assert part in text, part


PRESENTATION = re.compile(r"plots\.|title|alt=|caption|\brows\[|lesson\.(show|image|finding|record|reveal)")


@each_lesson
def test_a_student_reads_science_and_not_presentation(path):
    """Lines that build titles, findings and alt texts are folded: less than a twentieth of what is open."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    open_cells = [cell for cell in cells if not is_folded(cell)]
    lines = [line for cell in open_cells for line in cell.source.splitlines() if line.strip()]
    presentation = [line for line in lines if PRESENTATION.search(line)]
    assert len(presentation) < 0.05 * len(lines), presentation


MOST_LINES = 150  # of code that a student sees in a lesson


def is_folded(cell):
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def visible_lines(notebook):
    """Return how many lines of code are open; blank lines do not count."""
    open_cells = [cell for cell in notebook.cells if cell.cell_type == "code" and not is_folded(cell)]
    return sum(bool(line.strip()) for cell in open_cells for line in cell.source.splitlines())


@each_lesson
def test_a_student_sees_at_most_150_lines_of_code(path, figure):
    n = visible_lines(nbformat.read(path, as_version=4))
    figure(f"lesson {path.stem}: {n} visible lines of code")
    assert n <= MOST_LINES, f"{n} lines are open: fold what is plumbing, or move it to a helper"


@each_lesson
def test_what_is_asked_for_and_what_it_is_used_for_is_open(path):
    """Exercises, their checks, predictions and parameters are never folded; nor is a marker of a test in sight."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for before, cell in zip([None, *cells], cells, strict=False):
        asks = {"exercise", "parameters"} & set(tags(cell)) or "lesson.predict(" in cell.source
        checks = before is not None and "exercise" in tags(before)
        assert not (is_folded(cell) and (asks or checks)), cell.id
        assert not re.search("NBVAL|papermill", cell.source), cell.id


@each_lesson
def test_every_prediction_has_something_that_waits_for_it(path):
    """A figure or an explorer that shows the answer waits, and the answer is revealed."""
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    names = re.findall(r"^(\w+) = lesson\.predict\(", source, re.MULTILINE)
    assert names
    for name in names:
        assert re.search(rf"lesson\.reveal\(\s*{name},", source), name
        assert re.search(rf"after={name}\b", source), name


@pytest.fixture(scope="module")
def executed(request, tmp_path_factory):
    """Return a function that runs a lesson once, with three answers to each exercise."""
    profile, device = request.config.getoption("--profile"), request.config.getoption("--device")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("--device cuda: this machine has no CUDA device")
    if profile == "paper":
        request.getfixturevalue("real_data")
    done = {}

    def run(path):
        if path not in done:
            folder = tmp_path_factory.mktemp(path.stem)
            source = with_three_answers(nbformat.read(path, as_version=4), WRONG[path.stem])
            nbformat.write(source, folder / path.name)
            given = {"profile": profile, "device": device}
            done[path] = run_lesson(folder / path.name, parameters=given, folder=folder / "out", progress=False)
        return done[path]

    return run


@each_lesson
def test_it_runs_and_records_its_finding(path, executed, figure):
    outcome = executed(path)
    figure(f"lesson {outcome.lesson}: {outcome.finding} ({outcome.seconds} s, {outcome.device})")
    results = outcome.results
    assert results["lesson"] == path.stem
    assert len(results["finding"]) > 40
    assert len(results["findings"]) >= 4
    assert results["metrics"]
    assert outcome.page.stat().st_size < 2**20
    assert outcome.notebook.stat().st_size < 2**20
    cells = [cell for cell in nbformat.read(outcome.notebook, as_version=4).cells if cell.cell_type == "code"]
    cells = [cell for cell in cells if not cell.id.endswith(("-right", "-wrong"))]  # planted answers may warn
    warnings = [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert warnings == []


@each_lesson
def test_exercises_know_right_wrong_and_not_attempted(path, executed):
    cells = {cell.id: cell for cell in nbformat.read(executed(path).notebook, as_version=4).cells}
    checks = [name for name in cells if f"{name}-right" in cells]
    assert len(checks) == len(WRONG[path.stem])
    for name in checks:
        assert "Not attempted" in said(cells[name])
        assert "✓ Right" in said(cells[f"{name}-right"])
        assert "Not right yet" in said(cells[f"{name}-wrong"])


@pytest.mark.parametrize("path", [lesson_of(path, *[pytest.mark.slow] * (path.stem not in AGAIN)) for path in LESSONS])
def test_nbval_sees_the_same_outputs_again(path, executed, tmp_path):
    """nbval re-runs the executed copy: no error, none in a widget's callback, and the same checked outputs."""
    notebook = nbformat.read(executed(path).notebook, as_version=4)
    marked = [c for c in notebook.cells if "nbval-check-output" in tags(c)]
    assert marked
    assert all(cell.outputs for cell in marked)
    nbformat.write(notebook, tmp_path / path.name)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    options = ["--rootdir", str(tmp_path), "-o", "addopts=", str(tmp_path / path.name)]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]


def test_lessons_are_numbered_in_order_and_named_in_the_readme():
    numbers = [path.stem[:2] for path in LESSONS]
    assert numbers == sorted(set(numbers))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{path.name})" in readme for path in LESSONS)


@pytest.mark.parametrize(
    ("number", "cells", "values", "message"),
    [
        ("00", ["settings"], {"tiles": "1 2 3 13"}, "00_start: tiles must be four different numbers from 1 to 12"),
        ("00", ["settings"], {"tiles": "<script>"}, "00_start: tiles must be four different numbers"),
        ("01", ["settings"], {"anomalous": 8}, "01_identity_collapse: anomalous must be another class than normal"),
        ("11", ["settings"], {"contaminant": 0}, "contaminant must be another class than normal; got 0"),
    ],
)
def test_values_that_do_not_fit_each_other_are_told_at_the_start(number, cells, values, message, tmp_path):
    with pytest.raises(ParameterError, match=message):
        in_paper_profile(number, tmp_path, *cells, **values)


def in_paper_profile(number, tmp_path, *cells, **values):
    """Return what a lesson's cells with these ids define in the profile "paper"; nothing is loaded or trained."""
    notebook = nbformat.read(find_lesson(number), as_version=4)
    source = {cell.id: cell.source for cell in notebook.cells}
    namespace = {}
    for cell in ("parameters", *cells):
        exec(source[cell], namespace)
        namespace |= {"profile": "paper", "device": "cpu", "output_dir": str(tmp_path), **values}
    return namespace


@pytest.mark.parametrize(
    ("number", "cells"), [("01", ["settings"]), ("04", ["settings"]), ("06", ["settings", "sizes"])]
)
def test_the_profile_paper_is_the_papers(number, cells, tmp_path):
    detectors = in_paper_profile(number, tmp_path, *cells, "detectors")["detectors"]
    for name in ("AE", "DAE", "ARAE"):
        published = type(detectors[name]).paper_settings("MNIST")
        params = detectors[name].get_params()
        assert {key: params[key] for key in published} == published
    assert detectors["ARAE"].latent_dim == advad.ARAE().latent_dim, "no setting of a smaller profile is left"


def test_the_papers_settings_in_the_sweep_of_lesson_10(tmp_path, real_data):  # a plan is read where its images are
    methods = in_paper_profile("10", tmp_path, "settings", "spec")["spec"]["methods"]
    for method in methods:
        assert method == {"method": method["method"]} | getattr(advad, method["method"]).paper_settings("MNIST")


@pytest.mark.slow
def test_lesson_06_attacks_all_methods(tmp_path):
    """More than it does by default."""
    outcome = run_lesson(
        find_lesson("06"), parameters={"profile": "smoke", "methods": "all"}, folder=tmp_path, progress=False
    )
    assert {"Berg", "GANomaly", "GeoTrans"} <= set(outcome.results["metrics"]["auroc_others_attacked"])


BAG = "the class “Bag”"
OTHER_DATA = {  # lesson: its parameters on Fashion-MNIST, and what its findings then say
    **dict.fromkeys(("00", "01", "03", "04", "05", "06", "11"), ({"normal": 8}, BAG)),
    "02": ({"contaminant": 8}, BAG),
    "07": ({"normal": 8}, "the classes T-shirt/top, Trouser, Pullover;"),
    "08": ({"normal": 8}, "The means of the ten classes spread"),
    "10": ({}, "3 classes take their turn"),
}
MINUTES = ("01", "02", "04", "05", "06", "07", "08", "10", "11")  # what these take on images of 28×28


@pytest.mark.parametrize(
    "number", [pytest.param(name, marks=[pytest.mark.slow] if name in MINUTES else []) for name in OTHER_DATA]
)
def test_a_lesson_takes_another_data_set(number, tmp_path):
    """Its findings name the class, and no digit."""
    values, named = OTHER_DATA[number]
    given = {"profile": "smoke", "dataset": "FashionMNIST", "mode": "solution", **values}
    outcome = run_lesson(find_lesson(number), parameters=given, folder=tmp_path, progress=False)
    text = " ".join([outcome.finding, *outcome.results["findings"]])
    assert named in text
    if number == "02":  # its second data set is the other of the two
        text = text.replace("(digits, longer)", "").replace("On digits it", "")
    assert "digit" not in text


@pytest.mark.parametrize("number", OTHER_DATA)
def test_a_data_set_that_a_lesson_does_not_know_is_told_at_once(number, tmp_path):
    with pytest.raises(ParameterError, match=r"dataset must be .*FashionMNIST.*; got 'FashionMINST'") as caught:
        run_lesson(find_lesson(number), parameters={"dataset": "FashionMINST"}, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_lesson_has_planted_wrong_answers():
    assert set(WRONG) == {path.stem for path in LESSONS}


def test_a_folder_of_normal_images_only(tmp_path, monkeypatch):
    """Lesson 09 trains, calibrates and reports; the class is "1", whether text or number; the folder is relative."""
    rng = np.random.default_rng(0)
    images = tmp_path / "parts" / "1"  # the only class, so its number would be 0
    images.mkdir(parents=True)
    for name in range(30):
        Image.fromarray(rng.integers(0, 60, (16, 16), dtype=np.uint8)).save(images / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    given = {"folder": "parts", "normal": 1, "size": 32, "epochs": 1}
    outcome = run_lesson(find_lesson("09"), parameters=given, folder=tmp_path / "out", progress=False)
    metrics = outcome.results["metrics"]
    assert outcome.results["parameters"]["normal"] == "1"
    assert outcome.results["parameters"]["folder"] == str(tmp_path / "parts")
    assert (metrics["n_train"], metrics["n_holdout"], metrics["n_test"]) == (17, 7, 6)
    assert metrics["auroc"] is None
    assert metrics["found"] is None
    assert "how many anomalies it finds is unknown" in outcome.finding
    assert metrics["promised"][0] <= 0.1


def in_lab(number, parameters, folder):
    """Run a lesson at laptop size on packaged MNIST; these two are the quickest (the others: `--profile lab`)."""
    given = {"profile": "lab", "device": "cpu", **parameters}
    return run_lesson(find_lesson(number), parameters=given, folder=folder, progress=False)


def test_in_lab_a_first_detector_tells_eights_apart_on_real_digits(tmp_path, figure):
    """Lesson 00 in its own size: what it prints is what it measured, and true of real MNIST."""
    outcome = in_lab("00", {}, tmp_path)
    found = outcome.results["metrics"]
    figure(f"lesson 00 in lab: {outcome.finding} ({outcome.seconds} s, {outcome.device})")
    assert (found["n_train"], found["n_test"]) == (1800, 10000)  # 2,000 eights, a tenth held out; MNIST's test part
    auroc, low, high = found["auroc"]
    assert f"{auroc:.3f}" in outcome.finding
    assert low < auroc < high < low + 0.05
    assert auroc > 0.8
    # The threshold was set for 5 % of held-out eights; test eights are as good as held-out ones.
    assert 0.02 < found["false_alarms"] < 0.1
    assert found["found"] > found["false_alarms"] + 0.4


def test_in_lab_a_folder_of_photographs_keeps_its_promise(tmp_path, figure):
    """Lesson 09 with a plain autoencoder: the cookies that ship; thresholds, promise, places, the fresh process."""
    outcome = in_lab("09", {"method": "AE", "epochs": 60}, tmp_path)
    found = outcome.results["metrics"]
    figure(f"lesson 09 in lab: {outcome.finding} ({outcome.seconds} s, {outcome.device})")
    assert (found["n_train"], found["n_holdout"], found["n_test"]) == (22, 9, 46)
    auroc, low, high = found["auroc"]
    assert f"{auroc:.3f}" in outcome.finding
    assert low < auroc <= high
    assert auroc > 0.8
    rate, low, high = found["promised"]
    assert low <= rate < high
    assert low < 0.1 < high  # the wanted rate
    pixel_auroc, _, aupro, *_ = found["located"]
    assert pixel_auroc[0] > 0.7
    assert aupro[0] > 0.35
    assert found["best_statistic"]
    assert found["fresh_process_difference"] < 1e-4
    errors = found["errors"]
    assert errors["training images"][-1] < errors["training images"][0]
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "AUROC of the images" in page
    assert "http" not in page.replace("http-equiv", "")
