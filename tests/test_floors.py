"""Imports go down only, and `import advad` stays light. Read from the sources, and measured in a fresh process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import advad

PACKAGE = Path(advad.__file__).parent

GROUND = {"attacks", "checks", "environment", "files", "images", "occlusion", "progress", "thresholds", "types"}
CORE = GROUND | {"analysis", "datasets", "engine", "explorers", "methods", "networks", "pages", "plots"}
ALLOWED = {  # room -> the rooms that it may import from, besides itself; a room stands above those it names
    **dict.fromkeys(GROUND, GROUND),
    "datasets": GROUND,
    "networks": GROUND,
    "plots": GROUND,
    "pages": GROUND | {"plots"},
    "engine": GROUND | {"networks"},
    "analysis": GROUND,
    "methods": GROUND | {"networks", "engine"},
    "explorers": GROUND | {"plots", "analysis"},
    "lessons": CORE,
    "experiments": CORE | {"lessons"},
    "scoreboard": CORE | {"lessons", "experiments"},
    "site": CORE | {"lessons", "experiments", "scoreboard"},
    "cli": CORE | {"lessons", "experiments", "scoreboard", "site"},
    "lab": GROUND,  # the old address of a few modules
}
TOP = {"environment", "pages", "lessons", "experiments", "scoreboard", "site", "cli"}  # these may import `advad` itself
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
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module or ""} - {"advad"}
    return {name for name in found if name.split(".")[0] == "advad"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    if path == PACKAGE / "__init__.py":
        return  # the face names everything
    floor = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports_of(path):
        target = floor_of(name)
        if target not in ALLOWED:  # `import advad`, `advad.AE`, `advad.__version__`
            assert floor in TOP, f"{path.name} imports the package's list of public names"
            continue
        assert target in ALLOWED[floor] | {floor}, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "methods").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_methods_do_not_import_each_other(path):
    for name in imports_of(path):
        if name.startswith("advad.methods."):
            other = name.split(".")[2]
            assert (path.stem, other) in BUILDS_ON, f"{path.name} imports {name}"


def test_a_method_file_stays_short():
    for path in (PACKAGE / "methods").glob("[a-z]*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 240, path.name


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_two_files_import_each_other():
    """No circle of any length, imports inside functions included; packages' lists of names do not count."""
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    graph = {module: imports_of(path) & set(paths) - {module} for module, path in paths.items()}
    assert any(graph.values())
    while leaves := [module for module, targets in graph.items() if not targets & set(graph)]:
        for module in leaves:
            del graph[module]
    assert not graph, f"these files import each other: {sorted(graph)}"


def test_no_room_holds_more_than_a_quarter_of_the_house():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    rooms = {room for room in ALLOWED if (PACKAGE / room).is_dir()}
    share = {room: sum(n for path, n in lines.items() if PACKAGE / room in path.parents) for room in rooms}
    assert {room: n for room, n in share.items() if n > sum(lines.values()) / 4} == {}


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


def test_the_old_address_of_what_notebooks_imported_still_works_and_warns():
    with pytest.warns(FutureWarning, match=r"advad\.lab\.figures is now advad\.plots"):
        from advad.lab import figures
    from advad import plots

    assert figures is plots
    from advad import lab

    with pytest.raises(AttributeError, match="advad.lab has no 'nothing'. It was divided into rooms"):
        _ = lab.nothing
