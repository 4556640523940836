"""SIGKILL in the middle of training, then the same call again: the detector is that of an undisturbed run, bit for bit.

In each run of the tests 10 kills of one method, and 1 of each of 6 with stages or a memory.
With `-m slow`: 4 of each of 8, which are 32.
"""

import json
import os
import subprocess
import sys

import pytest
import torch

from advad.files import read_state
from tests import ROOT

SCRIPT = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from advad.files import read_state
from tests.cases import make, noise

folder, kills, changes = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
x, chance = noise(48, (1, 16, 16)), random.Random(4)


def start(case, name):
    child = os.fork()  # a process of its own that need not import torch again
    if child == 0:
        detector = make(case, **changes)
        detector.fit(x, run_dir=folder / case / name, progress=False, checkpoint_every=1)
        detector.threshold_ = float(detector.anomaly_score(x[:20]).sum())  # saved, and so compared
        detector.save(folder / case / name / "final")
        os._exit(0)
    return child


def reached(case):
    path = folder / case / "killed" / "checkpoint.safetensors"
    return read_state(path)[1]["epoch"] if path.exists() else 0


resumed = {}
for case in sys.argv[4:]:
    assert os.waitpid(start(case, "straight"), 0)[1] == 0
    resumed[case] = []
    for _ in range(kills):
        resumed[case].append(reached(case))
        child, goal = start(case, "killed"), resumed[case][-1] + chance.randrange(1, 4)
        while reached(case) < goal:  # until it is some way on, wherever exactly that is
            assert os.waitpid(child, os.WNOHANG) == (0, 0), f"{case} ended before it could be killed"
            time.sleep(0.002)
        time.sleep(chance.random() / 50)
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert os.waitpid(start(case, "killed"), 0)[1] == 0
print(json.dumps(resumed))
"""


def killed_and_resumed(folder, kills, cases, **changes):
    """Kill each case so often; compare what it ends with."""
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(kills), json.dumps(changes), *cases]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=1200, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    for case, resumed in json.loads(done.stdout).items():
        assert resumed == sorted(set(resumed)), "each start got further than the one before"
        (straight, metadata), (tensors, killed) = (
            read_state(folder / case / name / "final.safetensors") for name in ("straight", "killed")
        )
        assert tensors.keys() == straight.keys()
        assert all(torch.equal(tensors[name], straight[name]) for name in straight), case
        for described in (metadata, killed):
            del described["history"]["seconds"]
        assert killed == metadata, case
        left = sorted(path.name for path in (folder / case / "killed").iterdir() if path.name != ".checkpoint.lock")
        assert left == ["checkpoint.safetensors", "final.safetensors"], "temporary files of killed runs are cleared"


SIX = ["AAE", "ITSR", "DeepSVDD", "Berg", "FAnoGAN", "LSA"]  # games, stages, a centre, growth, a density

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


def test_one_method_killed_ten_times(tmp_path):
    """10 kills of DAE at random moments."""
    killed_and_resumed(tmp_path, 10, ["DAE-uniform"], epochs=300)


def test_six_methods_killed_once(tmp_path):
    """6 kills of 6 methods."""
    killed_and_resumed(tmp_path, 1, SIX, epochs=40)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*SIX, "OCGAN", "AGAD"])
def test_a_method_killed_four_times(case, tmp_path):
    """32 kills of 8 methods, 4 each."""
    killed_and_resumed(tmp_path, 4, [case], epochs=60)
