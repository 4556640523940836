"""Every file of the repository that a text names is there under this name."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(
    r"(?<![\w/.<>-])(?:tests|advad|data|notebooks|\.ci|\.github)/[\w/.-]*\w\.(?:py|md|toml|csv|ipynb|jsonl?|js|yml)\b"
)
PLACEHOLDERS = re.compile(r"[A-Z]{2,}")  # data/sweeps/PAPER-TABLE.toml
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
    return [name for name in names if not PLACEHOLDERS.search(Path(name).stem) and not (ROOT / name).exists()]


def test_every_named_file_exists():
    assert missing("as tests/test_floors.py says, not tests/test_floor.py") == ["tests/test_floor.py"]
    faults = {str(name): gone for name in texts() if (gone := missing((ROOT / name).read_text(encoding="utf-8")))}
    assert not faults
