"""A leading ~ is the home folder wherever a path is given: 6 places of the library, 4 of the command line."""

import os

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

import advad
from advad.analysis.contamination import contaminated_runs, load_runs
from advad.cli.main import main
from advad.experiments.spec import read_plan
from advad.experiments.sweep import collected, sweep
from advad.files import expanded
from advad.lessons.run import run_lesson
from tests.cases import noise
from tests.faults.refusals import refusal

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))
TOML = 'device = "cpu"\n[data]\ndataset = "digits"\nnormal = 8\n[[methods]]\nmethod = "PCA"\n'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Work in an empty folder beside the home folder; nothing may appear there."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert os.listdir(tmp_path / "here") == []


def test_of_detectors(home):
    advad.AE(**QUICK).fit(X, progress=False, run_dir="~/run").save("~/d")
    assert advad.load_detector("~/d").latent_dim == 2
    assert advad.AE.load("~/d").latent_dim == 2
    assert {"d.safetensors", "run"} == set(os.listdir(home))


def test_of_image_sets(home):
    np.savez(home / "x.npz", train_images=X[:, 0].numpy(), train_labels=np.arange(32) % 2)
    assert len(advad.load("~/x.npz")) == len(advad.load("x.npz", root="~")) == 32


def test_of_sweeps(home):
    (home / "s.toml").write_text(TOML)
    assert sweep("~/s.toml", folder="~/out", progress=False)[0].error == ""
    assert len(collected("~/out")) == 1
    images = {"data": {"dataset": "~/x.npz", "normal": 0, "protocol": "merged"}, "methods": [{"method": "PCA"}]}
    np.savez(home / "x.npz", train_images=X[:, 0].numpy(), train_labels=np.arange(32) % 2)
    assert read_plan(images).runs[0].data["dataset"] == "~/x.npz"  # as written: it is part of what a run is


def test_of_contaminated_runs(home):
    def split(rate, seed):
        return advad.one_class(advad.load("digits"), normal=0, contamination=rate, train_size=20, test_size=20)

    contaminated_runs(
        lambda seed: advad.AE(**QUICK), split, rates=[0.1], epochs=[1], seeds=[0], path="~/runs.npz", progress=False
    )
    assert load_runs("~/runs.npz").rates.tolist() == [0.1]


def test_of_lessons(home):
    source = "import json, pathlib\nrecord = {'lesson': 'x', 'finding': 'It ran.', 'seconds': 1}\n"
    source += "pathlib.Path(output_dir, 'results.json').write_text(json.dumps(record))"
    parameters = nbformat.v4.new_code_cell('output_dir: str = "elsewhere"', metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, home / "00_x.ipynb")
    run_lesson("~/00_x.ipynb", parameters={"output_dir": "~/results"}, folder="~/out", progress=False)
    assert (home / "results" / "results.json").is_file()
    assert (home / "out" / "00_x.html").is_file()


def test_of_the_command_line(home):
    """The shell leaves the sign in --out=~/x."""

    def call(*arguments):
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    (home / "s.toml").write_text(TOML)
    assert call("sweep", "~/s.toml", "--out=~/out").exit_code == 0
    assert call("board", "~/out", "--out=~/board").exit_code == 0
    assert (home / "board" / "board.csv").is_file()
    assert "no file" in call("app", "~/none", "--no-browser").stderr
    assert str(home / "none") in call("app", "~/none", "--no-browser").stderr
    result = call("sweep", "~nobody-of-this-name/s.toml")
    assert result.exit_code == 2
    assert "must begin with the home folder of a user" in result.stderr


def test_of_nobody():
    assert "got nobody's" in refusal(lambda: expanded("~nobody-of-this-name/x"), FileNotFoundError)
    with_it = {"dataset": "~nobody-of-this-name/x", "normal": 0}
    spec = {"data": with_it, "methods": [{"method": "PCA"}]}
    assert refusal(lambda: read_plan(spec), Exception).startswith("sweep: files: ~nobody")
