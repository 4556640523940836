"""Hostile specs of sweeps: one line and exit code 2, or a plan; 29 specs.

What is merely wrong in a spec is in `tests/experiments/test_sweep.py`.
"""

import os

import pytest
from click.testing import CliRunner

import advad
from advad.cli.main import main

PCA = 'device = "cpu"\n[data]\ndataset = "digits"\nnormal = 8\n[[methods]]\nmethod = "PCA"\n'
AE = PCA.replace("PCA", "AE")


def of_data(text):
    return PCA.replace("normal = 8", f"normal = 8\n{text}")


HOSTILE = {  # a spec -> what its line says
    "a name that climbs": ('name = ".."\n' + PCA, "name must be a word fit for a folder"),
    "a name that is a path": ('name = "a/b"\n' + PCA, "name must be a word fit for a folder"),
    "a name with a zero": ('name = "x\\u0000y"\n' + PCA, "name must be a word fit for a folder"),
    "a name that colours a terminal": ('name = "a\\u001b[31m"\n' + PCA, "name must be a word fit for a folder"),
    "a name of 300 letters": (f'name = "{"x" * 300}"\n' + PCA, "name must be a word fit for a folder"),
    "a name that is a list": ('name = ["a"]\n' + PCA, "name must be a word fit for a folder"),
    "100,001 seeds": (f"seed = {list(range(100_001))}\n" + PCA, "ask for at most 10,000 runs; got 100001"),
    "a large grid": (PCA + f"n_components = {list(range(1, 20_000))}\n", "ask for at most 10,000 runs"),
    "a seed of many digits": ("seed = " + "9" * 6000 + "\n" + PCA, "spec.toml must be TOML; "),
    "a seed beyond 32 bits": ("seed = 9999999999\n" + PCA, "seed must be in [0, 4.29497e+09]"),
    "a date": ("seed = 1979-05-27\n" + PCA, "seed must be a whole number"),
    "deep": ("x = " + "[" * 20_000 + "]" * 20_000 + "\n" + PCA, "spec.toml must be TOML; "),
    "half a letter": ('name = "\\ud800"\n' + PCA, "spec.toml must be TOML; "),
    "no text": (b"\xff\xfe\x00\x01", "spec.toml must be TOML; "),
    "nothing": ("", "methods must be one table or more"),
    "a rate that is no number": (AE + "learning_rate = nan\n", "AE: learning_rate must be above 0; got nan"),
    "an endless device": (PCA.replace('"digits"', '"/dev/zero"'), "load: the file or folder must lie in /dev/zero"),
    "a data set with a zero": (PCA.replace('"digits"', '"x\\u0000"'), "load: name must be one of digits, "),
    "a size of a million": (of_data("size = 1000000"), "load: size must be in [1, 16384]; got 1000000"),
    "a size beyond the memory": (of_data("size = 16000\nchannels = 3"), "load: images of digits must fit in memory"),
    "a class that is a table": (PCA.replace("normal = 8", "normal = {a = 1}"), "one_class: normal must be classes of"),
    "a list in a list in a list": (PCA.replace("= 8", "= [[[8]]]"), "one_class: normal must be classes of digits"),
    "a device that is a list": (PCA.replace('"cpu"', '["cpu"]'), "device must be one of 'auto', 'cpu', 'cuda', 'mps'"),
    "seeds_first a text": ('seeds_first = "x"\n' + PCA, "seeds_first must be one of True, False; got 'x'"),
    "a lesson outside": ('lesson = "../../etc/passwd"\n', "no lesson '../../etc/passwd'"),
}
HARMLESS = {  # a spec that is planned
    "more components than pixels": PCA + "n_components = 100000\n",
    "a name of Windows": 'name = "con"\n' + PCA,
    "a name in Greek": 'name = "αβγ"\n' + PCA,
}


def planned(text, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "spec.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = CliRunner().invoke(main, ["sweep", "spec.toml", "--dry-run"], catch_exceptions=False)
    assert os.listdir(folder) == ["spec.toml"]  # nothing is written
    return result


@pytest.mark.parametrize("spec", HOSTILE)
def test_a_hostile_spec_is_one_line_and_exit_code_2(spec, tmp_path, monkeypatch):
    """25 specs."""
    text, said = HOSTILE[spec]
    result = planned(text, tmp_path, monkeypatch)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("advad: sweep: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 700


@pytest.mark.parametrize("spec", HARMLESS)
def test_an_odd_spec_is_planned(spec, tmp_path, monkeypatch):
    """3 specs."""
    result = planned(HARMLESS[spec], tmp_path, monkeypatch)
    assert result.exit_code == 0, result.stderr
    assert "1 runs, 0 finished, 1 to do" in result.stdout


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_networks_beyond_the_memory_have_no_estimate(error, tmp_path, monkeypatch):
    """As of widths = [1000000000]; the error is made up, because some systems give out memory that they do not have."""

    def refuse(self, *_, **__):
        raise error

    monkeypatch.setattr(advad.AE, "build", refuse)
    result = planned(AE + "widths = [1000000000]\n", tmp_path, monkeypatch)
    assert result.exit_code == 0, result.stderr
    assert "1 runs, 0 finished, 1 to do: unknown" in result.stdout
