"""No file of advad, and nothing public in it, has one of the names that said nothing to a reader and were replaced."""

import ast
from pathlib import Path

import pytest

import advad

PACKAGE = Path(advad.__file__).parent
FILES = {  # modules of version 0.1 whose names did not say what they were for
    *("keep", "together", "estimate", "measure", "grid", "notes", "static", "maps", "trial", "results"),
    *("prior_game", "inversion", "shortcuts", "adversary", "image_game", "many", "scorer"),
}
NAMES = {
    *("Scorer", "Many", "memory_", "players", "facts", "keep", "together", "trial", "static"),
    *("twin", "sentence", "answering", "ladder", "choice"),
    *("NoiseLadder", "ShortcutExplorer", "GuessTheAnomaly", "PriorGameExplorer"),
    *("picture", "pictures", "Picture", "Pictures", "drawing", "tiles"),
    *("some", "one", "both", "found", "given", "mine", "kept", "trust", "worth", "mix", "told", "asked"),
    *("trees", "neighbours"),
}


WRAPPERS = {"components"}  # of scikit-learn's estimators, which call it n_components; a mixture has components, too


def is_deprecated(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Return whether a name is that of an earlier version, which warns and calls the one under the new name."""
    if isinstance(node, ast.ClassDef):
        return (ast.get_docstring(node) or "").startswith("Deprecated")
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
    return any(isinstance(call.func, ast.Attribute) and call.func.attr == "warn" for call in calls)


def public_names(node: ast.AST) -> set[str]:
    """Return the public functions, classes, constants, methods, fields, attributes and parameters in a syntax tree."""
    names: set[str] = set()
    for child in getattr(node, "body", []):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            if is_deprecated(child) or (child.name.startswith("_") and child.name != "__init__"):
                continue
            names.add(child.name)
            if isinstance(child, ast.ClassDef):
                names |= public_names(child)
            else:
                arguments = child.args
                names |= {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        elif isinstance(child, (ast.Assign, ast.AnnAssign)):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for attribute in ast.walk(node):
        if isinstance(attribute, ast.Attribute) and isinstance(attribute.ctx, ast.Store):
            names.add(attribute.attr)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_names_say_what_they_are_for(path):
    assert path.stem not in FILES
    names = public_names(ast.parse(path.read_text(encoding="utf-8")))
    banned = NAMES | WRAPPERS if path.stem == "classical" else NAMES
    assert names & banned == set(), path.relative_to(PACKAGE)


def test_public_names_of_every_kind_are_read():
    source = """
LIMIT = 1
class Box:
    side: int
    def __init__(self, size, *, colour): self.width = size
    def open(self, key): pass
    def _hidden(self, secret): pass
    def old(self, gone): warnings.warn("old() is now open().", FutureWarning)
def make(count, /): pass
"""
    expected = {"LIMIT", "Box", "side", "self", "size", "colour", "width", "open", "key", "make", "count"}
    assert public_names(ast.parse(source)) == expected
