"""Tensors and metadata on disk: one safetensors file whose header holds the JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

KEY = "advad"  # the entry of the safetensors header that holds our JSON


def write_state(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write tensors and JSON metadata as one file, all or nothing.

    The bytes go to a temporary file beside it, reach the disk (fsync), and only then take its name: a process
    killed at any moment leaves the old file or the new one, never half of one.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made.
    tensors : mapping of str to Tensor
        Any device; stored contiguous, on the CPU.
    metadata : mapping
        What JSON can hold.
    """
    from safetensors.torch import save

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(stored, metadata={KEY: json.dumps(metadata)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and metadata that `write_state` wrote.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a file of ours, or a damaged one.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_state: no file {path}. Write one with save(), or check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"read_state: {path} is damaged or was not written by advad ({error}).") from error
    return tensors, metadata
