"""A run of a sweep that does nothing but wait; in a file of its own, so that a worker imports little for it."""

import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from advad.experiments.run import Run


@dataclass(frozen=True, kw_only=True)
class Waits(Run):
    """A run that ends when it is let go."""

    number: int
    gate: Path

    def identity(self):
        return {"number": self.number}

    @property
    def label(self):
        return f"waits-{self.number}"

    def execute(self, home, slot):
        while not self.gate.exists():
            threading.Event().wait(0.01)
        return {"number": self.number, "threads": torch.get_num_threads()}
