"""Files: all or nothing, no leftovers, and damage is noticed."""

import json
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from advad import files
from advad.files import read_state, replacing, write_json, write_state, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_state_files_round_trip_and_hold_json(tmp_path):
    path = write_state(tmp_path / "new" / "s.safetensors", {"w": torch.arange(3.0)}, {"epoch": 2, "h": [None, 1.5]})
    tensors, facts = read_state(path)
    assert torch.equal(tensors["w"], torch.arange(3.0))
    assert facts == {"epoch": 2, "h": [None, 1.5]}
    assert names(path.parent) == ["s.safetensors"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_state(tmp_path / "s.safetensors", {"w": torch.zeros(1)}, {"epoch": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"No space left on device: '.*s\.safetensors'"):  # the error names the file
        write_state(path, {"w": torch.ones(1)}, {"epoch": 2})
    assert read_state(path)[1] == {"epoch": 1}
    assert names(tmp_path) == ["s.safetensors"]


def test_damaged_and_missing_files_get_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*none.safetensors"):
        read_state(tmp_path / "none.safetensors")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match="damaged or was not written by advad"):
        read_state(bad)
    whole = write_state(tmp_path / "s.safetensors", {"w": torch.zeros(100)}, {})
    bad.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged or was not written by advad"):
        read_state(bad)


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    """Each byte of a small file, one bit flipped: 1 ValueError line each, or the very same content."""
    tensors, facts = {"w": torch.arange(4.0), "n": torch.tensor(3)}, {"epoch": 2}
    path = write_state(tmp_path / "s.safetensors", tensors, facts)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = read_state(path)
        except ValueError as error:
            refused += "\n" not in str(error)
        else:  # such as a space of the header's padding
            assert found[1] == facts
            assert all(torch.equal(found[0][name], tensors[name]) for name in tensors)
            assert found[0].keys() == tensors.keys()
    assert refused > 0.95 * len(whole)


def test_edited_metadata_is_noticed(tmp_path):
    path = write_state(tmp_path / "s.safetensors", {"w": torch.zeros(2)}, {"epoch": 2})
    path.write_bytes(path.read_bytes().replace(b'\\"epoch\\": 2', b'\\"epoch\\": 9'))
    with pytest.raises(ValueError, match=r"s\.safetensors is damaged or was edited: its checksum does not fit"):
        read_state(path)


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(tmp_path):
    """300 reads beside a writer: the metadata and the tensors are always of the same file."""
    path, stop = tmp_path / "s.safetensors", threading.Event()

    def write():
        k = 0
        while not stop.is_set():
            write_state(path, {"w": torch.full((50,), float(k))}, {"k": k})
            k += 1

    write_state(path, {"w": torch.zeros(50)}, {"k": 0})
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            tensors, facts = read_state(path)
            assert bool((tensors["w"] == facts["k"]).all())
    finally:
        stop.set()
        writer.join()


def test_numpy_numbers_become_plain_ones(tmp_path):
    path = write_state(tmp_path / "s", {}, {"n": np.int64(4), "rate": np.float32(0.5), "shape": np.arange(2)})
    assert read_state(path)[1] == {"n": 4, "rate": 0.5, "shape": [0, 1]}


def test_many_threads_can_write_one_file(tmp_path):
    path, errors = tmp_path / "r.json", []

    def write(k):
        try:
            for _ in range(30):
                write_json(path, {"k": k, "filling": "x" * 2000})
        except Exception as error:  # noqa: BLE001 (collected, and asserted on below)
            errors.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert json.loads(path.read_text())["k"] in range(4)
    assert names(tmp_path) == ["r.json"]


def test_leftovers_of_killed_processes_are_cleared_and_nothing_else_is(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    pid = dead.stdout.strip()
    gone = [f".r.json.{pid}.tmp", f".r.json.{files.HOST}.{pid}.0123456789ab.tmp"]  # version 0.1's form, and ours
    stay = [
        f".r.json.{files.HOST}.{os.getppid()}.0123456789ab.tmp",  # its process lives
        f".r.json.elsewhere.{pid}.0123456789ab.tmp",  # another machine's, which may be writing
        f".other.json.{pid}.tmp",
        "r.json.txt",
    ]
    for name in gone + stay:
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "r.json", "whole")
    assert names(tmp_path) == sorted([*stay, "r.json"])
    old = tmp_path / stay[1]
    os.utime(old, (0, 0))  # nobody writes for more than a day
    write_text(tmp_path / "r.json", "whole")
    assert not old.exists()


def test_the_host_name_fits_into_a_file_name():
    assert files.HOST
    assert "." not in files.HOST
    assert "/" not in files.HOST
    assert files.HOST[0] == socket.gethostname()[0]


def test_an_error_in_the_body_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_text("~/a.txt", "x") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_text() == "x"
