"""Imports go down only, and `import advad` stays light. Read from the sources, and measured in a fresh process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import advad

PACKAGE = Path(advad.__file__).parent

GROUND = {"checks", "types", "images", "files", "environment"}
ALLOWED = {  # floor -> the floors that it may import, itself included
    **{name: GROUND for name in GROUND},
    "datasets": GROUND | {"datasets"},
    "engine": GROUND | {"engine"},
    "analysis": GROUND | {"analysis"},
    "methods": GROUND | {"engine", "methods"},
    "lab": GROUND | {"datasets", "engine", "analysis", "methods", "lab"},
}
BUILDS_ON = {("itsr", "aae")}  # methods whose paper itself builds on another's


def floor_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else "advad"


def imports_of(path: Path) -> set[str]:
    """Return the names of advad's modules that a source imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return {name for name in found if name.split(".")[0] == "advad"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    if path == PACKAGE / "__init__.py":
        return  # the face names everything
    floor = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports_of(path):
        target = floor_of(name)
        if target in ("advad", "__version__"):
            assert floor in ("lab", "environment"), f"{path.name} imports the face of the package"
            continue
        assert target in ALLOWED[floor], f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "methods").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_methods_do_not_import_each_other(path):
    for name in imports_of(path):
        if name.startswith("advad.methods."):
            other = name.split(".")[2]
            assert (path.stem, other) in BUILDS_ON, f"{path.name} imports {name}"


def test_a_method_file_stays_short():
    for path in (PACKAGE / "methods").glob("[a-z]*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 230, path.name


def test_the_floors_are_all_there():
    """A floor that this test does not know could import what it likes."""
    floors = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert floors - {"__init__", "__pycache__"} == set(ALLOWED)


def test_importing_advad_is_light():
    heavy = "torch numpy umap plotly torchvision papermill sklearn ipywidgets numba matplotlib pandas".split()
    code = f"import sys, advad; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_public_name_exists_and_unknown_ones_say_what_there_is():
    for name in advad.__all__:
        assert getattr(advad, name) is not None
    assert set(advad.__all__) <= set(dir(advad))
    with pytest.raises(AttributeError, match="module 'advad' has no attribute 'ARAY'. It has AAE, "):
        _ = advad.ARAY
