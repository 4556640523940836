"""What is measured of a trained detector: the decision rule that each paper states, by its name."""

from dataclasses import replace

import numpy as np
import pytest

import advad
from advad.analysis.localisation import localisation
from advad.analysis.score_correlates import score_correlates
from advad.datasets.defects import plant_defects
from advad.datasets.imageset import ImageSet
from advad.experiments.evaluate import measure, measure_attacked
from tests.cases import GAME, SMALL

RULES = {"balanced_accuracy_observed", "balanced_accuracy_unobserved"}
EITHER_OR = {"balanced_accuracy_either_or_observed", "balanced_accuracy_either_or_unobserved"}


def contaminated(contamination=0.1):
    images = advad.load("digits")
    return advad.one_class(images, normal=0, contamination=contamination, contaminants=[2], holdout=0.1, seed=0)


def rates(alarms, anomalies, normal):
    """Return the mean of the true positive and true negative rate, by counting."""
    return (alarms[anomalies].mean() + (~alarms[normal]).mean()) / 2


@pytest.mark.parametrize(
    "detector",
    [advad.AAE(**GAME, epochs=5), advad.ITSR(**GAME, pretrain_epochs=4, rounds=2, refine_epochs=1, epochs=2)],
    ids=["AAE", "ITSR"],
)
def test_itsr_and_aae_are_measured_by_the_papers_rule_and_by_the_error_alone(detector):
    """Beggel et al. 2019, Sec. 4.1 and 5: an alarm where error > p_0.9 or likelihood < p_0.1 of the training set."""
    split = contaminated()
    metrics = measure(detector.fit(split.train, progress=False), split)
    error, likelihood = detector.reconstruction_error, detector.log_likelihood
    T_rec, T_prior = detector.thresholds(split.train, 0.1)
    by_error = error(split.test) > advad.threshold_at(error(split.train), 0.1)
    either = (error(split.test) > T_rec) | (likelihood(split.test) < T_prior)
    assert (either & ~by_error).any()  # the likelihood has a say
    labels = split.test_labels.numpy()
    for part, anomalies in {"observed": labels == 2, "unobserved": (labels != 0) & (labels != 2)}.items():
        value = {name: metrics[f"balanced_accuracy{name}_{part}"].value for name in ("", "_either_or")}
        assert value[""] == pytest.approx(rates(by_error, anomalies, labels == 0))
        assert value["_either_or"] == pytest.approx(rates(either, anomalies, labels == 0))
        assert value[""] != value["_either_or"]


def test_a_detector_without_a_likelihood_is_measured_by_its_score_alone():
    split = contaminated()
    detector = advad.AE(**SMALL, epochs=2).fit(split.train, progress=False)
    assert detector.decisions(split.test, split.train) == {}
    assert {name for name in measure(detector, split) if name.endswith("observed")} == RULES


def test_contaminating_classes_may_have_numbers_for_names():
    """Folders "1", "2", "3": the settings record names, and class "2" is observed, not position 2."""
    digits = advad.load("digits")
    subset = digits.labels < 3
    arrays = {"images": digits.images[subset], "labels": digits.labels[subset], "is_test": digits.is_test[subset]}
    named = ImageSet("named", classes=("1", "2", "3"), **arrays)
    values = {}
    for images, names in ((named, ("1", "2")), (replace(named, classes=("a", "b", "c")), ("a", "b"))):
        split = advad.one_class(images, normal=names[0], contamination=0.1, contaminants=names[1])
        assert split.contaminants == (1,)
        metrics = measure(advad.PCA(n_components=2).fit(split.train), split)
        values[names] = [metrics[name].value for name in sorted(RULES)]
    assert values["1", "2"] == values["a", "b"]


def test_without_contamination_nothing_is_observed():
    split = contaminated(0.0)
    detector = advad.AAE(**GAME, epochs=2).fit(split.train, progress=False)
    assert not {*RULES, *EITHER_OR} & set(measure(detector, split))
    alarms = detector.decisions(split.test, split.train, 0.2)["either_or"]
    assert np.array_equal(alarms, detector.either_or(split.test, *detector.thresholds(split.train, 0.2)))


def test_attacked_normals_are_measured_by_pgd_and_by_the_worst_case_at_each_radius():
    """The stronger attack and the larger radius both leave less of the AUROC."""
    split = contaminated(0.0)
    split = replace(
        split, test=split.test[:60], test_labels=split.test_labels[:60], test_is_anomaly=split.test_is_anomaly[:60]
    )
    detector = advad.AE(**SMALL, epochs=5).fit(split.train, progress=False)
    plain = measure(detector, split)
    attacked, verdicts = measure_attacked(detector, split, [0.05, 0.2])
    values = {name: interval.value for name, interval in attacked.items()}
    assert values.keys() == {f"auroc_{kind}_{radius}" for kind in ("attacked", "robust") for radius in ("0.05", "0.2")}
    for radius in ("0.05", "0.2"):
        assert values[f"auroc_robust_{radius}"] <= values[f"auroc_attacked_{radius}"] < plain["auroc"].value
    assert values["auroc_attacked_0.2"] < values["auroc_attacked_0.05"]
    for radius in ("0.05", "0.2"):
        assert f"AUROC {values[f'auroc_robust_{radius}']:.3f} (unattacked" in verdicts[f"auroc_robust_{radius}"]
        assert " a robust AUROC" in verdicts[f"auroc_robust_{radius}"]


def test_masks_of_the_test_part_give_the_metrics_of_pixels():
    split = contaminated(0.0)
    images, masks = plant_defects(split.test[:40], "spot", side=2)
    truth = split.test_is_anomaly[:40]
    masks[~truth] = 0
    shown = replace(split, test=images, test_is_anomaly=truth, test_labels=split.test_labels[:40])
    detector = advad.PCA(n_components=8).fit(split.train)
    parts = {"train": masks, "holdout": masks, "test": masks}
    metrics = measure(detector, replace(shown, masks=parts))
    row = localisation(detector.anomaly_map(images), masks, is_anomaly=truth).overall
    names = ("pixel_auroc", "pixel_auprc", "aupro_30", "aupro_5")
    assert [metrics[name] for name in names] == [getattr(row, name) for name in names]
    assert not set(names) & set(measure(detector, shown))
    contradicting = masks.clone()
    contradicting[int((~truth).nonzero()[0]), 0, 0] = 1  # a normal image with a mark: nothing is measured
    assert not set(names) & set(measure(detector, replace(shown, masks=parts | {"test": contradicting})))


def test_the_largest_f1_is_measured_where_the_splits_are_merged():
    detector, images = advad.PCA(n_components=4), advad.load("digits")
    for protocol, there in ((advad.merged, True), (advad.one_class, False)):
        split = protocol(images, normal=0, seed=0, holdout=0.0)
        metrics = measure(detector.fit(split.train), split)
        assert ("best_f1" in metrics) == there
        if there:
            scores = detector.anomaly_score(split.test)
            assert metrics["best_f1"].value == advad.best_f1(split.test_is_anomaly, scores)[0]


def test_beside_the_auroc_stands_the_best_cheap_statistic_and_its_direction():
    split = contaminated(0.0)
    x = split.test.float() / 255
    x[split.test_is_anomaly] *= 0.4  # anomalies that are darker: the error ranks them below
    dark = replace(split, test=(255 * x).to(split.test.dtype))
    metrics = measure(advad.PCA(n_components=0).fit(split.train), dark)
    (name,) = (name for name in metrics if name.startswith("auroc_of_"))
    assert name.endswith("_lower")
    best = max(row.auroc.value for row in score_correlates(np.zeros(len(x)), dark.test, dark.test_is_anomaly, n=2).rows)
    assert metrics[name].value == best > 0.9
