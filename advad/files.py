"""Files that are written all or nothing: text, JSON, and tensors with JSON metadata (safetensors).

A process that is killed at any moment leaves the old file or the new one, never half of one. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

KEY = "advad"  # entry of the safetensors header that holds our JSON
CHECKSUM = "checksum"  # entry of the safetensors header; files of version 0.1 have none
HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
DAY = 24 * 60 * 60  # seconds
LOCK, HOLDER = ".checkpoint.lock", ".checkpoint.holder"  # in a run's folder while it is trained


# ---------------------------------------------------------------- all or nothing


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there takes the name `path` at the end, all or nothing.

    The content reaches the disk (fsync) before it takes its name. The folder is made where it is missing, and
    temporary files that killed processes left of the same file are removed. Where the body raises, `path` stays
    as it was.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written; the error names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "table.csv"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("a,b")
    >>> path.read_text(), [entry.name for entry in path.parent.iterdir()]
    ('a,b', ['table.csv'])
    """
    path = expanded(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(path: Path) -> None:
    """Remove temporary files of `path` whose process is gone: of this host at once, of another one after a day."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(?:(?P<host>[^.]+)\.)?(?P<pid>\d+)(?:\.[0-9a-f]+)?\.tmp$")
    for entry in list(os.scandir(path.parent)):
        match = pattern.match(entry.name)
        if match is None:
            continue
        with contextlib.suppress(OSError):  # another process may remove it at the same moment
            is_local = os.name == "posix" and match["host"] in (None, HOST)
            if not _alive(int(match["pid"])) if is_local else time.time() - entry.stat().st_mtime > DAY:
                os.unlink(entry.path)


def _alive(pid: int) -> bool:
    """Return whether a process of this host runs (POSIX only: on Windows, signal 0 would end it)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def in_use(folder: Path, owner: str) -> Iterator[None]:
    """Hold a folder of a run for this process; the folder is made where it is missing.

    Parameters
    ----------
    folder : Path
    owner : str
        Who asks; opens the message.

    Raises
    ------
    ValueError
        Somebody else holds it; the message says who.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):  # nobody can write here, so nobody can be disturbed
        yield
        return
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            who = holder.read_text(encoding="utf-8")
        except OSError:
            who = "another process"
        raise ValueError(
            f"{owner}: run_dir {folder} is in use by {who}. Wait until that ends, or choose another folder."
        ) from None
    try:
        write_text(holder, f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8, all or nothing; return the file's path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return expanded(path)


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a mapping as indented JSON, all or nothing; return the file's path."""
    return write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It holds no JSON, or is no file but a folder, a pipe or a device, which might never end.
    OSError
        It cannot be read.
    """
    path = expanded(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not JSON") from None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return `path` with a leading ~ replaced by the home folder.

    Raises
    ------
    FileNotFoundError
        It begins with `~name`, and there is no user of that name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FileNotFoundError(
            f"files: {path} must begin with the home folder of a user; got nobody's. ./{path} is a file here."
        ) from None


# ---------------------------------------------------------------- JSON


def plain(value: Any, name: str, owner: str = "lesson.record") -> Any:
    """Return `value` as JSON can hold it: arrays as lists, scalars as numbers, None for what is not finite.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, tensors, lists, mappings, dataclasses, and paths. A key that is a tuple is joined to one
        text.
    name, owner : str
        What the value is called, and who asks; both open the message.

    Raises
    ------
    TypeError
        The value holds something else; the message says where.

    Examples
    --------
    >>> import numpy as np
    >>> plain({"auroc": np.float32(0.5), "n": np.arange(2), "spread": float("nan")}, "metrics")
    {'auroc': 0.5, 'n': [0, 1], 'spread': None}
    >>> plain({("AE", "seen"): 0.75}, "metrics")
    {'AE, seen': 0.75}
    """
    import numpy as np
    from torch import Tensor

    from advad.checks import reject

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        texts = [", ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in value]
        items = zip(texts, value.values(), strict=True)
        return {text: plain(item, f"{name}.{text}", owner) for text, item in items}
    if isinstance(value, (list, tuple, set, range)):
        return [plain(item, f"{name}[{index}]", owner) for index, item in enumerate(value)]
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return plain(value.tolist(), name, owner)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    reject(owner, name, "be made of numbers, text, arrays, lists and dictionaries", value, error=TypeError)


def to_json(value: Any) -> str:
    """Return JSON text in which NumPy's numbers and arrays are plain numbers and lists, and a torch.device its name."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    if type(value).__module__ == "torch" and type(value).__name__ == "device":  # the ground does not load torch
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON; got {value!r}.")


# ---------------------------------------------------------------- tensors with metadata


def write_state(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write tensors and JSON metadata as one safetensors file with a checksum, all or nothing.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made.
    tensors : mapping of str to Tensor
        On any device; stored contiguous.
    metadata : mapping
        What JSON can hold; NumPy numbers become plain ones.

    Returns
    -------
    Path
        The file that was written.
    """
    from safetensors.torch import save

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = to_json(metadata)
    content = save(stored, metadata={KEY: text, CHECKSUM: _checksum(stored, text)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return expanded(path)


def read_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the metadata that `write_state` wrote.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        The file is damaged, was edited, or was not written by advad.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = expanded(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"read_state: {path} is damaged or was not written by advad (it is no file).")
    if not path.is_file():
        raise FileNotFoundError(f"read_state: no file {path}. Write one with save(), or check the path.")
    try:
        content = path.read_bytes()  # in one piece: safe_open opens the path twice, and it may be replaced in between
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        text = header[KEY]
        metadata = json.loads(text)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"read_state: {path} is damaged or was not written by advad ({reason}).") from error
    if not isinstance(metadata, dict) or not set(header) <= {KEY, CHECKSUM}:
        raise ValueError(f"read_state: {path} is damaged or was not written by advad (unknown metadata).")
    if CHECKSUM in header and header[CHECKSUM] != _checksum(tensors, text):
        raise ValueError(
            f"read_state: {path} is damaged or was edited: its checksum does not fit. Write it again, or delete it."
        )
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the SHA-256 of the metadata and of each tensor's name, dtype, shape and bytes."""
    import torch

    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
