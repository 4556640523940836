"""Nothing waits for the disk here: what a killed process has written stays, and no test cuts the power."""

import os

import pytest


@pytest.fixture(autouse=True, scope="package")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield
