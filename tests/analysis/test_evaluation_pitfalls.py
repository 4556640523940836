"""Evaluation shortcuts against hand numbers, and what they gain where there is nothing to detect."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.analysis import evaluation_pitfalls
from advad.analysis.batch_norm import MODES, batch_statistics, score_modes, scores_in_batches
from advad.analysis.evaluation_pitfalls import SWITCHES, EvaluationTable, Pitfalls

RNG = np.random.default_rng(0)


class Normalised:
    """Scores an image by its one pixel, normalised; its running mean is 0.5, its running variance 1."""

    image_shape_, device_ = (1, 1, 1), torch.device("cpu")

    def __init__(self):
        self.networks_ = nn.ModuleDict({"norm": nn.BatchNorm2d(1, eps=1e-12, affine=False)}).eval()
        self.networks_["norm"].running_mean.fill_(0.5)

    def score_tensor(self, x):
        return self.networks_["norm"](x)[:, 0, 0, 0]

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X)).numpy()


PIXELS = np.array([0.0, 0.2, 0.4, 1.0], dtype=np.float32).reshape(4, 1, 1, 1)


# ---------------------------------------------------------------------- batch normalisation


def test_in_training_mode_a_batch_is_normalised_by_itself():
    detector = Normalised()
    assert detector.anomaly_score(PIXELS) == pytest.approx([-0.5, -0.3, -0.1, 0.5])
    # batches {0, 0.4} (mean 0.2, deviation 0.2) and {0.2, 1} (mean 0.6, deviation 0.4)
    assert scores_in_batches(detector, PIXELS, [0, 2, 3, 1], 2) == pytest.approx([-1, -1, 1, 1])
    whole = (PIXELS.ravel() - 0.4) / math.sqrt(0.14)
    assert scores_in_batches(detector, PIXELS, [3, 2, 1, 0], 4) == pytest.approx(whole, abs=1e-6)
    assert scores_in_batches(detector, PIXELS, [3, 2, 1, 0], 3) == pytest.approx(whole, abs=1e-6), (
        "no image is left over alone"
    )


def test_leaving_restores_modes_and_running_statistics_bit_for_bit():
    split = advad.one_class(advad.load("digits"), normal=8, holdout=0.1, test_size=60, seed=0)
    settings = {"network": "conv", "conv_width": 4, "batch_norm": "all", "epochs": 1, "device": "cpu"}
    detector = advad.AAE(**settings).fit(split.train, progress=False)
    first = next(m for m in detector.networks_.modules() if isinstance(m, nn.BatchNorm2d))
    state = {name: tensor.clone() for name, tensor in detector.networks_.state_dict().items()}
    scores = detector.anomaly_score(split.test)
    with batch_statistics(detector):
        assert first.training
        detector.anomaly_score(split.test)
        assert not torch.equal(first.running_mean, next(v for k, v in state.items() if k.endswith("running_mean")))
        with pytest.raises(RuntimeError), batch_statistics(detector):
            detector.score_tensor(torch.zeros(2, 3, 8, 8))  # three channels
        assert first.training, "an inner use gives back what it found"
    after = detector.networks_.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in state.items())
    assert not any(module.training for module in detector.networks_.modules())
    assert np.array_equal(detector.anomaly_score(split.test), scores)


def test_the_three_modes_agree_in_one_batch_and_differ_in_class_order():
    detector, labels = Normalised(), [1, 0, 1, 0]
    whole = score_modes(detector, PIXELS, labels, batch_size=4)
    assert list(whole) == list(MODES)
    assert whole[MODES[1]] == pytest.approx(whole[MODES[2]])
    by_class = score_modes(detector, PIXELS, labels, batch_size=2)[MODES[2]]  # {0.2, 1} and {0, 0.4}
    assert by_class == pytest.approx([-1, -1, 1, 1])


def test_what_cannot_be_scored_in_batches_is_refused():
    plain = SimpleNamespace(networks_=nn.Linear(1, 1))
    with pytest.raises(ValueError, match="batch_statistics: detector must have batch normalisation; got"):
        batch_statistics(plain).__enter__()
    with pytest.raises(ValueError, match=r"order must be a permutation of 0 … 3; got"):
        scores_in_batches(Normalised(), PIXELS, [0, 1, 1, 2], 2)
    with pytest.raises(ValueError, match="batch_size must be at least 2; got 1. One image has no variance"):
        scores_in_batches(Normalised(), PIXELS, [0, 1, 2, 3], 1)


# ---------------------------------------------------------------------- thresholds and scaling


def test_the_fitted_threshold_beats_the_held_out_one_by_hand():
    truth, scores = [0, 0, 0, 0, 1, 1], np.array([1.0, 2, 3, 6, 4, 7])
    bacc, threshold = evaluation_pitfalls.fitted_threshold(truth, scores)
    assert (bacc, threshold) == ((3 / 4 + 1) / 2, 3)
    assert advad.balanced_accuracy(truth, scores, threshold) == bacc
    values = evaluation_pitfalls.measures(truth, scores, holdout_scores=[1.0, 2, 6.5])  # the threshold becomes 6.5
    # AUROC: 4 beats 3 of 4 normals, 7 all. Scaled by 1 … 7: 0.2 lies at 2.2, which 2 normals and both others pass.
    assert values == pytest.approx([7 / 8, (1 + 1 / 2) / 2, (2 / 4 + 1) / 2, 7 / 8])


def test_where_no_threshold_helps_the_fitted_one_raises_no_alarm():
    bacc, threshold = evaluation_pitfalls.fitted_threshold([1, 0], [0.0, 1.0])
    assert bacc == 0.5
    assert advad.balanced_accuracy([1, 0], [0.0, 1.0], threshold) == 0.5


def test_scaling_changes_no_auroc_and_lets_one_image_move_all():
    truth, scores = RNG.integers(0, 2, 50), RNG.normal(size=50)
    assert advad.auroc(truth, evaluation_pitfalls.min_max(scores)) == advad.auroc(truth, scores)
    assert evaluation_pitfalls.min_max([1.0, 2, 3]) == pytest.approx([0, 0.5, 1])
    assert evaluation_pitfalls.min_max([1.0, 2, 11]) == pytest.approx([0, 0.1, 1])
    assert not evaluation_pitfalls.min_max([4.0, 4.0]).any()


# ---------------------------------------------------------------------- switches over a table


@pytest.fixture
def table():
    values = np.zeros((4, 3, 2, 2, 3))
    values[0, 0, 0] = [[0.5, 0.9, 0.7], [0.4, 0.2, 0.3]]  # AUROC, evaluation mode, seed 0: two classes, three epochs
    values[0, 0, 1] = [[0.6, 0.7, 0.9], [0.5, 0.6, 0.5]]
    values[0, 1], values[0, 2] = values[0, 0] + 0.05, values[0, 0] + 0.07
    values[1:] = values[0] / 2 + np.reshape([0, 0.01, 0.1], (3, 1, 1, 1, 1))
    return EvaluationTable(values)


@pytest.mark.parametrize(
    ("switches", "classes"),
    [
        ([], [0.8, 0.4]),
        (["batch_statistics"], [0.85, 0.45]),
        (["batch_statistics", "class_order"], [0.87, 0.47]),
        (["class_order"], [0.8, 0.4]),
        (["best_epoch"], [0.9, 0.5]),
        (["best_seed"], [0.9, 0.5]),
        (["flip_signs"], [0.8, 0.6]),
        (["flip_signs", "best_epoch"], [0.9, 0.7]),
        (["best_epoch", "best_seed"], [0.9, 0.6]),
        (["scale_on_test"], [0.8, 0.4]),
        (["threshold_on_test"], [0.8, 0.4]),
    ],
)
def test_each_switch_reads_the_table_as_it_says(table, switches, classes):
    report = table.report(Pitfalls(**dict.fromkeys(switches, True)))
    assert report.aurocs == pytest.approx(classes)
    assert report.auroc == pytest.approx(np.mean(classes))
    assert report.class_mask.all()


def test_dropping_says_over_how_many_classes_the_mean_is(table):
    report = table.report(Pitfalls(drop_classes=True))
    assert report.class_mask.tolist() == [True, False]
    assert (report.auroc, report.bacc) == pytest.approx((0.8, 0.4))
    assert report.aurocs == pytest.approx([0.8, 0.4]), "what was dropped is still told"
    below = EvaluationTable(table.values / 2).report(Pitfalls(drop_classes=True))
    assert below.class_mask.all(), "no mean over nothing"


def test_only_the_threshold_rules_move_bacc_alone(table):
    honest, gains = table.report(Pitfalls()), table.gains()
    assert list(gains) == list(SWITCHES)
    assert gains["scale_on_test"] == pytest.approx((0, 0.01))
    assert gains["threshold_on_test"] == pytest.approx((0, 0.1))
    assert gains["class_order"] == pytest.approx((0.02, 0.01)), "on top of the batch statistics"
    assert gains["best_epoch"][0] == pytest.approx(0.1)
    both = table.report(Pitfalls(scale_on_test=True, threshold_on_test=True))
    assert both.bacc == pytest.approx(honest.bacc + 0.1), "scaling cannot move a fitted threshold's value"


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"EvaluationTable: values must have shape \(4, 3, S, C, E\); got"):
        EvaluationTable(np.zeros((4, 2, 1, 1, 1)))


# ---------------------------------------------------------------------- nothing to detect


def test_the_expected_best_of_a_few_is_known():
    assert evaluation_pitfalls.expected_best(1) == pytest.approx(0, abs=1e-9)
    assert evaluation_pitfalls.expected_best(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert evaluation_pitfalls.expected_best(3) == pytest.approx(1.5 / math.sqrt(math.pi))
    assert evaluation_pitfalls.expected_best(10) == pytest.approx(1.5388, abs=1e-4)


def test_scores_that_know_nothing_gain_what_theory_says():
    n_normal, n_anomalous, k, rounds = 40, 60, 5, 400
    truth = np.repeat([0, 1], [n_normal, n_anomalous])
    rng = np.random.default_rng(1)
    found = [evaluation_pitfalls.measures(truth, rng.normal(size=100), rng.normal(size=20)) for _ in range(rounds * k)]
    table = np.array(found).T  # (4, rounds * k)
    aurocs = table[0]
    said = evaluation_pitfalls.chance_gains(n_normal, n_anomalous, k)
    assert aurocs.std() == pytest.approx(evaluation_pitfalls.auroc_sd(n_normal, n_anomalous), rel=0.05)
    assert np.maximum(aurocs, 1 - aurocs).mean() - 0.5 == pytest.approx(said["flipped"], rel=0.06)
    # the same by the switches: a round is a class, its tries are epochs or seeds
    by_epoch = evaluation_pitfalls.condense(aurocs.reshape(1, rounds, k), Pitfalls(best_epoch=True))
    assert by_epoch.mean() - 0.5 == pytest.approx(said["best of k"], rel=0.06)
    by_seed = [
        evaluation_pitfalls.condense(tries.reshape(k, 1, 1), Pitfalls(best_seed=True))
        for tries in aurocs.reshape(-1, k)
    ]
    assert np.mean(by_seed) == pytest.approx(by_epoch.mean())
    assert table[1].mean() == pytest.approx(0.5, abs=0.005), "an honest threshold gains nothing"
    assert table[3].mean() - 0.5 == pytest.approx(said["fitted threshold"], rel=0.12)


def test_the_fitted_thresholds_gain_agrees_with_the_exact_one_for_large_equal_groups():
    n = 5000  # P(D >= j / n) = C(2n, n − j) / C(2n, n), so E[n D] = (4^n / C(2n, n) − 1) / 2
    exact = (math.exp(2 * n * math.log(2) - math.lgamma(2 * n + 1) + 2 * math.lgamma(n + 1)) - 1) / (2 * n)
    assert evaluation_pitfalls.chance_gains(n, n, 1)["fitted threshold"] == pytest.approx(exact / 2, rel=0.01)


def test_the_former_name_of_the_class_mask_warns():
    report = evaluation_pitfalls.Report(0.9, 0.8, np.ones(2), np.ones(2), np.array([True, False]))
    with pytest.warns(DeprecationWarning, match="class_mask"):
        assert report.kept.tolist() == [True, False]
