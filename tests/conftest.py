"""One torch thread a test process: results do not depend on how many cores there are, and processes may fork."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the kernels and other processes that tests start


def pytest_addoption(parser):
    """Let the lessons run larger, and elsewhere."""
    parser.addoption("--profile", default="smoke", choices=["smoke", "lab", "paper"], help="size of the lessons")
    parser.addoption("--device", default="cpu", choices=["auto", "cpu", "cuda", "mps"], help="where the lessons train")


@pytest.fixture
def figure(record_property):
    """Return a function that shows a measured figure in the summary at the end of the run."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter):
    """Print what tests measured, one line each."""
    lines = [
        text for r in terminalreporter.stats.get("passed", []) for name, text in r.user_properties if name == "figure"
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write("\n".join(sorted(set(lines))) + "\n")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real image sets, or skip."""
    folder = os.environ.get("ADVAD_DATA")
    if not folder or not (Path(folder) / "MNIST").is_dir():
        pytest.skip("needs real MNIST: set ADVAD_DATA to a folder that holds MNIST/raw")
    return Path(folder)
