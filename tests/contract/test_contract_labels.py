"""What a method that learns from labels owes beside tests/contract/test_contract.py, with labels at hand."""

import os

import numpy as np
import pytest
import torch

import advad
from tests.cases import CASES, digits, make
from tests.contract.test_contract import QUICK, check_k_then_m, check_kill_and_resume, check_whose_weights_move

LABELLED = [case for case, (cls, _, _) in CASES.items() if cls.uses_labels]


def labelled():
    """Return 60 normal images and 4 anomalies, with their labels."""
    split = digits()
    x = torch.cat([split.train[:60], split.test[split.test_is_anomaly][:4]])
    return x, torch.tensor([0] * 60 + [1] * 4)


def fitted(case, y):
    return make(case, **QUICK).fit(labelled()[0], y, progress=False)


@pytest.mark.parametrize("case", LABELLED)
def test_k_then_m_epochs_equal_k_plus_m(case, tmp_path):
    check_k_then_m(case, tmp_path, *labelled())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.parametrize("case", LABELLED)
def test_a_killed_process_resumes_bit_for_bit(case, tmp_path, monkeypatch):
    check_kill_and_resume(case, tmp_path, monkeypatch, *labelled())


@pytest.mark.parametrize("case", LABELLED)
def test_every_players_weights_move_and_only_its_own_in_its_own_update(case, monkeypatch):
    check_whose_weights_move(case, monkeypatch, *labelled())


@pytest.mark.parametrize("case", LABELLED)
def test_labels_matter_in_either_convention_and_no_labels_are_zeros(case):
    x, y = labelled()
    told = fitted(case, y).anomaly_score(x)
    assert np.array_equal(fitted(case, np.where(y == 1, -1, 1)).anomaly_score(x), told)  # scikit-learn's labels
    untold = fitted(case, torch.zeros(64)).anomaly_score(x)
    assert np.array_equal(fitted(case, None).anomaly_score(x), untold)
    assert not np.allclose(told, untold, rtol=1e-6)  # two epochs with frozen norms move scores by 1e-5 only


@pytest.mark.parametrize("case", LABELLED)
def test_wrong_labels_get_one_clear_line(case, tmp_path):
    x, y = labelled()
    name = CASES[case][0].__name__
    for wrong, message in (
        (y[:9], r"y must have shape \(64,\)"),
        (y * 3, "y must be 0"),
        (y * 0 + 1, "y must leave some"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: {message}"):
            fitted(case, wrong)
    make(case, **QUICK).fit(x, y, run_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds another run: a run on other images"):
        make(case, **QUICK).fit(x, y.roll(1), run_dir=tmp_path, progress=False)


def test_other_methods_do_not_look_at_labels():
    x, y = labelled()
    told, untold = (advad.AE(epochs=1, device="cpu").fit(x, labels, progress=False) for labels in (y, None))
    assert np.array_equal(told.anomaly_score(x), untold.anomaly_score(x))
