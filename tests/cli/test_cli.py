"""The command `advad`: what it says, where it says it, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from advad.cli import doctor, servers
from advad.cli import main as module
from advad.cli.main import main
from advad.environment import NO_CACHE
from advad.lessons import catalogue, run
from advad.lessons.outcome import LessonError, LessonResult
from advad.scoreboard import rows

RECORDING = """\
import json, pathlib
results = {"finding": f"Ran as {profile} on {device}.", "seconds": 1.5, "device": "cpu"}
pathlib.Path(output_dir, "results.json").write_text(json.dumps(results))
"""


def lesson(folder, name, source, parameters=""):
    cells = [nbformat.v4.new_markdown_cell(f"# Lesson {name}")]
    cells += [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] * bool(parameters)
    cells += [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return a working folder with two lessons: one that records what it was given, and one that fails."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")  # of the terminal that tables fit into
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [tmp_path / "notebooks"])
    parameters = 'profile: str = "lab"  # size {smoke, lab}\nepochs: int = 3  # [1, 10]\n'
    parameters += 'seed: int = 0  # [0, 1000]\ndevice: str = "cpu"  # {auto, cpu}\noutput_dir: str = "elsewhere"'
    lesson(tmp_path / "notebooks", "00_good", RECORDING, parameters)
    lesson(tmp_path / "notebooks", "01_bad", "raise KeyError('x')")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_help_imports_nothing_heavy():
    heavy = [
        "torch",
        "numpy",
        "papermill",
        "nbformat",
        "nbconvert",
        "plotly",
        "torchvision",
        "sklearn",
        "ipykernel",
        "IPython",
        "numba",
    ]
    program = f"import sys, advad.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
    result = call("--help")
    assert result.exit_code == 0
    for command in ("doctor", "data", "lab", "run", "tour", "sweep", "board", "app"):
        assert command in result.output
        assert call(command, "--help").exit_code == 0


@pytest.mark.parametrize("command", ["", *main.commands])
def test_help_keeps_the_lines_that_are_marked_and_shows_no_mark(command):
    result = call(*filter(None, [command, "--help"]))
    text = (main.commands[command] if command else main).help or ""
    assert "\b" not in result.output
    assert "\\b" not in result.output
    assert "..." not in result.output.partition("Commands:")[2]  # each command's first sentence fits
    shown = [line.strip() for line in result.output.splitlines()]
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            assert set(map(str.strip, paragraph.splitlines()[1:])) <= set(shown)
    examples = [line for line in text.splitlines() if line.strip().startswith("advad ")]
    assert "\b" in text or not examples


@pytest.mark.parametrize(
    "arguments",
    [
        *([name, "--help"] for name in main.commands),
        ["doctor"],
        ["run", "00", "--list"],
        ["run", "00", "-p", "device=αβ"],
        ["run", "00", "--profile", "smoke"],
        ["tour", "--workers", "1"],
        ["sweep", "…/ψ.toml", "--dry-run"],
        ["reproduce", "arae", "2", "--show"],
        ["board", "--out", "board"],
        ["app", "ψ"],
    ],
    ids=" ".join,
)
def test_a_terminal_without_our_signs_gets_no_traceback(here, monkeypatch, arguments):
    monkeypatch.setattr(doctor, "CHECKS", {"lessons": lambda _: "ε ─ 5"})
    lesson(here / "notebooks", "00_good", RECORDING.replace("Ran", "ψ"), 'profile: str = "smoke"  # ψ {smoke}')
    result = CliRunner(charset="latin-1").invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 1, 2)
    assert result.output


def test_the_board_without_data_says_so(here, monkeypatch):
    monkeypatch.setattr(rows.measured_rows, "__defaults__", (here / "measured.csv",))
    for text in (None, "", "method,dataset\n"):
        if text is not None:
            (here / "measured.csv").write_text(text)
        result = call("board")
        assert result.exit_code == 2
        assert result.stderr == (
            "advad: board: there must be results to show; got none. advad sweep SPEC.toml makes some; "
            "data/measured.csv comes with the repository.\n"
        )
        assert result.stdout == ""


def test_a_spec_from_windows_is_read_and_a_sweep_named_dots_is_refused(here):
    spec = '[data]\ndataset = "digits"\nnormal = 8\n[[methods]]\nmethod = "PCA"\n'
    (here / "s.toml").write_text("\ufeff" + spec, encoding="utf-8")
    result = call("sweep", "s.toml", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    for name in ("..", ".", "", "a/b"):
        (here / "s.toml").write_text(f'name = "{name}"\n{spec}')
        result = call("sweep", "s.toml", "--dry-run")
        assert result.exit_code == 2
        assert result.stderr == f"advad: sweep: name must be a word fit for a folder; got {name!r}.\n"
    (here / "s.toml").write_text(spec, encoding="utf-16")  # of an old editor, or of > in PowerShell
    result = call("sweep", "s.toml", "--dry-run")
    assert result.exit_code == 2
    assert result.stderr.startswith("advad: sweep: s.toml must be TOML; ")


def test_version():
    result = call("--version")
    assert (result.exit_code, result.output) == (0, f"advad {__import__('advad').__version__}\n")


def test_the_doctor_finds_this_machine_well(tmp_path):
    result = call("doctor", "--root", str(tmp_path))
    lines = {line.split()[1]: line for line in result.output.splitlines()}
    assert list(lines) == list(doctor.CHECKS)
    assert result.exit_code == 0
    packaged = "digits (1,797), MNIST-lab (30,000), FashionMNIST-lab (20,000) with advad"
    assert lines["data"] == f"ok    data      {packaged}; none in {tmp_path} (advad data downloads)"
    assert lines["kernel"].startswith("ok")
    assert sys.executable in lines["kernel"]
    assert lines["widgets"].startswith("ok")


def test_the_doctor_reports_what_is_broken_and_goes_on(monkeypatch, tmp_path):
    def broken(_):
        raise ImportError("no such thing\nand more")

    monkeypatch.setattr(doctor, "CHECKS", {"python": doctor.python, "torch": broken, "lessons": doctor.lessons})
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [tmp_path])
    result = call("doctor")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("ok    python")
    assert lines[1] == "fail  torch     ImportError: no such thing"
    assert lines[2].startswith(f"warn  lessons   no lessons in {tmp_path}")


def test_the_doctor_names_a_damaged_set(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"short")
    state, text = doctor.examine(doctor.data, tmp_path)
    assert state == "fail"
    assert "ubyte" in text


def test_the_doctor_misses_images_that_should_come_with_advad(monkeypatch, tmp_path):
    monkeypatch.setattr("advad.datasets.packaged.shipped", lambda path: tmp_path / path)
    state, text = doctor.examine(doctor.data, tmp_path)
    assert (state, text) == ("warn", "MNIST-lab, FashionMNIST-lab should come with advad: install it again")


def test_run_and_tour_check_the_images_before_the_first_lesson(here, monkeypatch):
    monkeypatch.setenv("ADVAD_DATA", str(here))
    parameters = 'profile: str = "lab"\ndataset: str = "KMNIST"\noutput_dir: str = "elsewhere"'
    lesson(here / "notebooks", "02_needs_more", RECORDING, parameters)
    monkeypatch.setattr("advad.lessons.kernel.execute", lambda *_, **__: pytest.fail("something ran"))
    for command in (
        ["run", "02"],
        ["tour", "--workers", "1"],
        ["run", "02", "-p", "dataset=MNIST", "-p", "profile=paper"],
    ):
        name = "MNIST" if "dataset=MNIST" in command else "KMNIST"
        result = call(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"advad: load: {name} must lie in {here / name / 'raw'}; got no train-images")
        assert f"`advad data {name}` or download=True fetches it" in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (here / "runs").exists()


def test_lab_refuses_a_file_as_its_folder_in_one_line(here):
    (here / "mine").write_text("a text")
    result = call("lab", "mine")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"advad: {here / 'mine'} must be a folder; it is a file. Name another folder.\n"


def test_lab_opens_jupyterlab_on_a_copy_of_the_lessons(here, monkeypatch):
    started = {}

    class Server:
        returncode = 7

        def __init__(self, command, env, **_):
            started.update(command=command, env=env)

        def poll(self):
            return started.get("polled")

        def wait(self, *_):
            if started.setdefault("waits", 0) == 0:  # Ctrl-C is JupyterLab's to answer
                started["waits"] = 1
                raise KeyboardInterrupt
            started["polled"] = 7

        def terminate(self):
            assert self.poll() == 7

    monkeypatch.setattr(servers.subprocess, "Popen", Server)
    result = call("lab", "--no-browser", "--port", "8890")
    assert (result.exit_code, result.stdout) == (7, f"Your course: {here / 'advad-course'}\n")
    options = [f"--ServerApp.root_dir={here / 'advad-course'}", "--LabApp.default_url=/lab/tree/welcome.ipynb"]
    watched = [sys.executable, "-m", "advad.cli.servers", str(os.getpid()), "", "jupyterlab", *options]
    assert started["command"][: len(watched)] == watched
    assert started["command"][-3:] == ["--no-browser", "--port", "8890"]
    assert (here / "advad-course" / "lessons" / "00_good.ipynb").is_file()
    assert started["env"]["JUPYTER_PREFER_ENV_PATH"] == "1"
    started.clear()
    assert call("lab", "mine", "--no-browser").exit_code == 7
    assert f"--ServerApp.root_dir={here / 'mine'}" in started["command"]
    assert started["command"][-1] == "--no-browser"
    assert started["env"]["OMP_WAIT_POLICY"] == os.environ.get("OMP_WAIT_POLICY", "PASSIVE")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "02"], "advad: no lesson '02'. There are 00_good, 01_bad.\n"),
        (["run", "00_goood"], "advad: no lesson '00_goood'. Did you mean 00_good? There are 00_good, 01_bad.\n"),
        (["run", "nowhere.ipynb"], "advad: no lesson 'nowhere.ipynb'. There are 00_good, 01_bad.\n"),
        (["run", "00", "-p", "epoch=3"], "advad: 00_good: no parameter 'epoch'. Did you mean epochs? It has profile,"),
        (["run", "00", "-p", "epochs=x"], "advad: 00_good: epochs must be a whole number; got 'x'.\n"),
        (["run", "00", "-p", "epochs=11"], "advad: 00_good: epochs must be in [1, 10]; got 11.\n"),
        (["run", "00", "--profile", "paper"], "advad: 00_good: profile must be one of 'smoke', 'lab'; got 'paper'.\n"),
        (["run", "01", "--profile", "lab"], "advad: 01_bad: no parameter 'profile'. It has none.\n"),
        (["run", "00", "-p", "epochs"], "advad: -p must be name=value; got 'epochs'.\n"),
        (["run", "00", "-p", "=3"], "advad: -p must be name=value; got '=3'.\n"),
        (["tour", "--profile", "paper"], "advad: 00_good: profile must be one of 'smoke', 'lab'; got 'paper'.\n"),
        (["tour", "--device", "cuda"], "advad: 00_good: device must be one of 'auto', 'cpu'; got 'cuda'.\n"),
    ],
)
def test_a_bad_argument_is_one_line_and_nothing_runs(here, arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert not (here / "runs").exists()


def test_no_lessons_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [tmp_path])
    for command in (["tour"], ["lab"], ["run", "00"]):
        result = call(*command)
        assert result.exit_code == 2
        assert f"advad: no lessons in {tmp_path}. They come with advad" in result.stderr


def test_run_lists_parameters(here):
    result = call("run", "00", "--list")
    assert result.exit_code == 0
    assert result.output.splitlines()[:2] == [
        "profile = 'lab'           size {smoke, lab}",
        "epochs = 3                [1, 10]",
    ]


def test_run_says_what_was_found_and_where(here):
    result = call("run", "00", "--profile", "smoke", "-p", "device=auto", "--out", "made/here")
    assert result.exit_code == 0
    assert result.stdout == "Ran as smoke on auto.\n1.5 s on cpu: " + str(Path("made/here/00_good.html")) + "\n"
    assert "100%" in result.stderr  # the progress bar
    assert json.loads((here / "made/here/00_good/results.json").read_text())["finding"] == "Ran as smoke on auto."
    assert (here / "made/here/00_good.ipynb").is_file()


def test_run_tells_a_failure_in_one_line(here):
    result = call("run", "01")
    assert result.exit_code == 1
    saved = Path("runs/01_bad.ipynb")
    assert result.stderr.splitlines()[-1] == f"advad: 01_bad: cell [1] failed with KeyError: 'x'. See {saved}"
    assert saved.is_file()


def test_tour_reports_a_failing_lesson_and_goes_on(here):
    lesson(here / "notebooks", "00_a_first", "1 / 0")
    result = call("tour", "--workers", "2")
    assert result.exit_code == 1
    assert "3/3" in result.stderr  # the progress bar
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["lesson", "finding", "seconds", "device", "path"]
    assert rows[2].startswith("00_a_first  FAILED: cell [1] failed with ZeroDivisionError: division by zero")
    assert rows[3].split() == ["00_good", *"Ran as lab on auto.".split(), "1.5", "cpu", "runs/tour/00_good.html"]
    assert rows[4].startswith("01_bad")
    assert rows[-1] == f"Overview: {here / 'runs' / 'tour' / 'index.html'}"
    assert result.stderr.splitlines()[-1] == "advad: 2 of 3 lessons failed: 00_a_first, 01_bad"
    page = (here / "runs" / "tour" / "index.html").read_text()
    assert "Ran as lab on auto." in page
    assert "2 of 3 lessons failed" in page


def test_tour_runs_the_lessons_that_are_named(here):
    result = call("tour", "00", "--workers", "1")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[2:3]] == ["00_good"]
    assert "01_bad" not in result.stdout
    refused = call("tour", "00", "07")
    assert (refused.exit_code, refused.stderr) == (2, "advad: no lesson '07'. There are 00_good, 01_bad.\n")


def outcome(**fields):
    return LessonResult("00_good", Path("00_good.ipynb"), Path("00_good.html"), **fields)


def test_tour_succeeds_when_all_do(here, monkeypatch):
    asked = []

    def run_lesson(notebook, **settings):
        asked.append((notebook.stem, settings["parameters"], settings["folder"], settings["timeout"]))
        return outcome(finding="Fine.", seconds=2.0, device="cpu")

    monkeypatch.setattr(run, "run_lesson", run_lesson)
    settings = {"profile": "lab", "device": "cpu", "seed": 7}
    options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    result = call("tour", *options, "--out", "there", "--timeout", "9", "--workers", "1")
    assert result.exit_code == 0
    assert asked == [("00_good", settings, Path("there"), 9), ("01_bad", {}, Path("there"), 9)]
    assert (here / "there" / "index.html").is_file()


@pytest.mark.parametrize("command", [["run", "00"], ["tour", "00", "--workers", "1"]])
def test_without_the_cache_the_kernels_are_told_and_nobody_later(here, monkeypatch, command):
    told = []

    def run_lesson(*_, **__):
        told.append(os.environ.get(NO_CACHE))
        return outcome()

    monkeypatch.setattr(run, "run_lesson", run_lesson)
    for options in ([], ["--no-cache"], ["--cache"]):
        assert call(*command, *options).exit_code == 0
    assert told == [None, "1", None]


@pytest.mark.parametrize("command", [["run", "00"], ["tour", "--workers", "1"]])
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "advad: interrupted\n"),
        (PermissionError(13, "Permission denied", "runs"), 1, "advad: [Errno 13] Permission denied: 'runs'\n"),
    ],
)
def test_an_end_from_outside_is_one_line(here, monkeypatch, command, error, code, message):
    def run_lesson(*_, **__):
        raise error

    monkeypatch.setattr(run, "run_lesson", run_lesson)
    result = call(*command)
    assert (result.exit_code, result.stderr) == (code, message)


def test_a_mistake_of_ours_is_not_hidden(here, monkeypatch):
    def run_lesson(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(run, "run_lesson", run_lesson)
    with pytest.raises(ValueError, match="a bug"):
        call("run", "00")


def test_an_error_of_two_lines_becomes_one(here, monkeypatch):
    def run_lesson(*_, **__):
        raise LessonError("first\nsecond", outcome(error="first"))

    monkeypatch.setattr(run, "run_lesson", run_lesson)
    assert call("run", "00").stderr == "advad: first second\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_lesson_and_its_kernel(here):
    lesson(
        here,
        "waits",
        "import os, pathlib, time\npathlib.Path('pid.part').write_text(str(os.getpid()))\n"
        "os.replace('pid.part', 'pid')\ntime.sleep(600)",
    )
    # a suite in the background of a script inherits a SIGINT that is ignored
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from advad.cli.main import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", program, "run", "waits.ipynb"], stderr=subprocess.PIPE, text=True)
    while not (here / "pid").exists():
        with pytest.raises(subprocess.TimeoutExpired):  # it is still running
            process.wait(timeout=0.1)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "advad: interrupted"
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(int((here / "pid").read_text()), 0)


def test_the_table_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    finding = "An autoencoder that has only seen eights finds most of the other digits, and misses ones."
    lines = module.table([outcome(finding=finding, seconds=12.34, device="cpu"), outcome(error="broken")]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("lesson   finding")
    assert "12.3  cpu     00_good.html" in lines[2]
    assert lines[3].startswith(" " * 9)
    assert " ".join(line[9 : 80 - 8 - 9 - 16].strip() for line in lines[2:5]).startswith("An autoencoder that has only")
    assert "FAILED: broken" in lines[-1]
