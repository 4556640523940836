"""The wheel, outside a clone, has all that advad ships beside its code."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import advad

ROOT = Path(advad.__file__).parents[1]

PROGRAM = """
import advad
from advad.environment import checkout, git_state
from advad.scoreboard import table as board
from advad.scoreboard.published import published
from advad.lessons.catalogue import lessons

assert checkout() is None, checkout()
assert git_state() is None
assert len(advad.load("MNIST-lab")) == 30_000
assert len(advad.load("FashionMNIST-lab")) == 20_000
print(advad.__file__)
print(len(published(paper="arae")), len(board.rows(())), len(lessons()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="needs hatchling, of the extra 'test'")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("needs a checkout")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_finds_published_results_board_rows_and_lessons(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site-packages")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site-packages")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    where, counts = done.stdout.splitlines()
    assert Path(where) == tmp_path / "site-packages" / "advad" / "__init__.py"
    published, board, lessons = map(int, counts.split())
    assert published > 100
    assert board > 10
    assert lessons == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))) >= 11


def test_the_wheel_holds_types_and_one_version(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"advad/py.typed", "advad/__init__.pyi"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "data/", "notebooks/"))]
    assert wheel.name.startswith(f"advad-{advad.__version__}-")
