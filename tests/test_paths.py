"""Every file of the repository that a text names is there under this name."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(
    r"(?<![\w/.<>-])(?:tests|advad|data|notebooks|\.ci|\.github)/[\w/.-]*\w\.(?:py|md|toml|csv|ipynb|jsonl?|js|yml)\b"
)
PLACEHOLDERS = re.compile(r"[A-Z]{2,}")  # data/sweeps/PAPER-TABLE.toml
RUN = re.compile(r"python -m (tests\.[\w.]+\w)")
MODULES = re.compile(r"`(?:advad\.)?(\w+)\.(\w+)[\w.]*(?:\(\))?`")  # `engine.training`, `advad.engine.training.train`
NOT_PROSE = {Path(__file__).name}


def texts():
    """Return the tracked files in which a path can be named."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    names = [Path(name) for name in listed.stdout.split("\0")]
    kinds = (".py", ".md", ".toml", ".ipynb", ".js", ".pyi")
    return [name for name in names if name.suffix in kinds and name.name not in NOT_PROSE and (ROOT / name).is_file()]


def missing(text):
    names = sorted({match.group() for match in NAMED.finditer(text)})
    names += sorted({f"{match[1].replace('.', '/')}.py" for match in RUN.finditer(text)})
    return [name for name in names if not PLACEHOLDERS.search(Path(name).stem) and not (ROOT / name).exists()]


def test_every_named_file_exists():
    assert missing("as tests/test_floors.py says, not tests/test_floor.py") == ["tests/test_floor.py"]
    assert missing("`python -m tests.benchmarks.arae`, `python -m tests.bench_arae AE`") == ["tests/bench_arae.py"]
    faults = {str(name): gone for name in texts() if (gone := missing((ROOT / name).read_text(encoding="utf-8")))}
    assert not faults


def missing_modules(text):
    """Return the modules of advad's rooms that a text names in backticks and that are not there."""
    rooms = {path.name for path in (ROOT / "advad").iterdir() if (path / "__init__.py").is_file()}
    gone = []
    for match in MODULES.finditer(text):
        room, name = match.groups()
        if room not in rooms or match.group().startswith("`networks."):  # which are those of a detector
            continue
        is_file = any((ROOT / "advad" / room / end).exists() for end in (f"{name}.py", name))
        if not is_file and not hasattr(importlib.import_module(f"advad.{room}"), name):
            gone.append(match.group())
    return gone


def test_every_named_module_exists():
    assert missing_modules("`engine.training.train` and `advad.engine.many`") == ["`advad.engine.many`"]
    read = (name for name in texts() if name.parts[0] == "advad" or name.suffix == ".md")
    read = (name for name in read if name.name != "CHANGELOG.md")
    faults = {str(name): gone for name in read if (gone := missing_modules((ROOT / name).read_text(encoding="utf-8")))}
    assert not faults
