"""advad: adversarial and robust image anomaly detection, for teaching and reproducible evaluation.

The public names are those that `__init__.pyi` lists. Each is imported on its first use, so `import advad` imports
neither torch nor NumPy.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"  # the one place of the version; pyproject.toml reads it here


def _homes() -> dict[str, str]:
    """Return the module of each public name, as the stub lists them."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOME = _homes()
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll] (the stub lists the names)


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'advad' has no attribute {name!r}. It has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
