"""Truth, labels and scores that an explorer is given have one reading, or it refuses in one line; never a NaN."""

import html

import numpy as np
import pytest

from advad import explorers
from advad.analysis.evaluation_pitfalls import EvaluationTable
from advad.explorers.scored_images import LabelledImages
from tests.contract.test_contract_explorers import KINDS

IMAGES = np.random.default_rng(5).random((12, 1, 4, 4)).astype(np.float32)
TRUTH = np.arange(12) < 4


class Detector:
    """Scores by brightness; `scores` are said instead where there are any."""

    def __init__(self, scores=None, reconstruction=1.0, threshold=0.5):
        self.scores, self.reconstruction, self.threshold_ = scores, reconstruction, threshold

    def anomaly_score(self, X):
        bright = np.asarray(X, dtype=float).reshape(len(X), -1).mean(axis=1)
        return bright if self.scores is None else self.scores(bright)

    def reconstruct(self, X):
        return np.asarray(X) * self.reconstruction

    def anomaly_map(self, X, **_):
        return np.abs(np.asarray(X) - self.reconstruct(X) / 2).mean(axis=1)


def made(kind, detector, **known):
    besides = {"ThresholdExplorer": {"holdout": IMAGES[4:]}, "NoiseExplorer": {"strengths": (0, 0.2)}}
    truth = {"is_anomaly": TRUTH} if kind in ("ThresholdExplorer", "GuessingGame") else {}
    return getattr(explorers, kind)(detector, IMAGES, **besides.get(kind, {}), **truth | known)


SHOW_NO_SCORES = ("ReconstructionExplorer", "AnomalyMapExplorer")
WRONG_SCORES = {
    "NaN": (lambda bright: np.where(bright > bright.min(), bright, np.nan), "must be finite; got 1 of"),
    "infinite": (lambda bright: bright / 0.0 + 1, "must be finite"),
    "too few": (lambda bright: bright[:1].repeat(3), "must be numbers of shape"),
    "two columns": (lambda bright: np.stack([bright, bright], 1), "must be numbers of shape"),
    "words": (lambda bright: np.full(len(bright), "high"), "must be numbers of shape"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("wrong", WRONG_SCORES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SHOW_NO_SCORES])
def test_scores_are_one_finite_number_an_image(kind, wrong):
    scores, message = WRONG_SCORES[wrong]
    if (kind, wrong) in {("OcclusionExplorer", "NaN"), ("OcclusionBrush", "NaN")}:
        message = "must be finite|must return finite"
    if kind == "OcclusionExplorer":
        message = "score must return|must be numbers|must be finite|must return finite"  # the map comes first
    with pytest.raises((ValueError, TypeError), match=message) as refusal:
        made(kind, Detector(scores)).summary()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_reconstructions_are_finite_images(kind):
    if kind in ("ThresholdExplorer", "GuessingGame"):  # which show none
        assert "nan" not in made(kind, Detector(reconstruction=np.nan)).summary()
        return
    what = "anomaly maps" if kind == "AnomalyMapExplorer" else "reconstructions"
    with pytest.raises(ValueError, match=f"the {what} of Detector must be finite"):
        made(kind, Detector(reconstruction=np.nan))


@pytest.mark.parametrize("kind", ["AttackExplorer", "OcclusionBrush", "NoiseExplorer", "LatentExplorer"])
def test_a_threshold_is_a_finite_number_or_there_is_none(kind):
    assert "called" not in made(kind, Detector(threshold=None)).summary()
    for threshold in (np.nan, "high"):
        with pytest.raises((TypeError, ValueError), match="the threshold of Detector must be"):
            made(kind, Detector(threshold=threshold)).summary()


NAMES = ["Image 1 (class 1)", "Image 1 (b)"]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"labels": [0, 1, 0]}, NAMES[0]),
        ({"labels": [0.0, 1.0, 0.0]}, NAMES[0]),  # as a CSV file gives them
        ({"labels": np.array([0, 1, 0], ">i8")}, NAMES[0]),
        ({"labels": ["0", "1", "0"]}, NAMES[0]),
        ({"labels": ["a", "b", "a"]}, NAMES[1]),
        ({"labels": np.array(["a", "b", "a"], object)}, NAMES[1]),
        ({"labels": [0, 1, 0], "classes": ["a", "b"]}, NAMES[1]),
        ({"labels": [0.0, 1.0, 0.0], "classes": ("a", "b")}, NAMES[1]),
        ({"is_anomaly": [0, 1, 0]}, "Image 1 (anomalous)"),
        ({"is_anomaly": [False, True, False]}, "Image 1 (anomalous)"),
        ({"is_anomaly": [0.0, 1.0, 0.0]}, "Image 1 (anomalous)"),
    ],
)
def test_what_means_the_same_reads_the_same(known, expected):
    assert LabelledImages("owner", IMAGES[:3], **known).describe(1) == expected


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"labels": [0, np.nan, 1]}, "labels must be whole numbers or names"),
        ({"labels": [0, 0.5, 1]}, "labels must be whole numbers or names"),
        ({"labels": ["a", None, "b"]}, "labels must be whole numbers or names"),
        ({"labels": [True, False, True]}, "labels must be whole numbers or names; .* Truth goes into is_anomaly"),
        ({"labels": [0, 1, 2], "classes": "abc"}, "classes must be different names"),
        ({"labels": [0, 1, 1], "classes": ["a", "a"]}, "classes must be different names"),
        ({"labels": [0, 1, -1], "classes": ["a", "b"]}, r"labels must be whole numbers in \[0, 1\]"),
        ({"classes": ["a", "b"]}, "labels must be given with classes"),
        ({"is_anomaly": [0, np.nan, 1]}, "is_anomaly must be 0"),
        ({"is_anomaly": [0, 2, 1]}, "is_anomaly must be 0"),
        ({"is_anomaly": [1, -1, 1]}, "is_anomaly must be 0"),  # scikit-learn's form is the other way round
        ({"is_anomaly": ["yes", "no", "no"]}, "is_anomaly must be an array of 0 and 1"),
    ],
)
def test_what_has_no_single_reading_is_refused(known, message):
    with pytest.raises((TypeError, ValueError), match=f"^owner: {message}") as refusal:
        LabelledImages("owner", IMAGES[:3], **known)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("truth", [[0] * 12, [1] * 12])
@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_of_images_alone_gives_no_nan(kind, truth):
    if kind in ("ThresholdExplorer", "GuessingGame"):
        with pytest.raises(ValueError, match=f"^{kind}: is_anomaly must"):
            made(kind, Detector(), is_anomaly=truth)
        return
    explorer = made(kind, Detector(), is_anomaly=truth)
    shown = explorer.summary() + explorer.text.value
    assert "nan" not in shown.lower()


def test_names_cannot_become_markup():
    hostile = "<img src=x onerror=alert(1)>"
    for kind in KINDS:
        explorer = made(kind, Detector(), labels=[hostile] * 12)
        values = [value for each in explorer.view.children for value in [getattr(each, "value", "")]]
        assert not any(hostile in str(value) for value in values)
        assert kind in ("ThresholdExplorer", "GuessingGame", "NoiseExplorer") or html.escape(hostile) in str(values)


def prior(codes=None, groups=None):
    codes = np.random.default_rng(0).normal(size=(6, 2)) if codes is None else codes
    groups = {"normal": [1, 1, 1, 0, 0, 0], "other": [0, 0, 0, 1, 1, 1]} if groups is None else groups
    return explorers.AAEPriorExplorer({"only": [codes]}, [1e-3], groups)


def test_groups_of_the_prior_explorer_are_members_and_no_positions():
    as_numbers, as_truth = prior(), prior(groups={"normal": np.arange(6) < 3, "other": np.arange(6) > 2})
    assert as_numbers.summary() == as_truth.summary()
    assert np.array_equal(as_numbers.plane.data[1].x, as_truth.plane.data[1].x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codes": np.full((6, 2), np.nan)}, r"codes\['only'\] must be finite"),
        ({"groups": {"normal": [1] * 6, "other": [0] * 6}}, r"groups\['other'\] must have at least one member"),
        ({"groups": {"normal": [1] * 5, "other": [0] * 5}}, r"groups\['normal'\] must have shape \(6,\)"),
        ({"groups": {"normal": [1] * 6, "other": [0, 0, 0, 0, 0, 1]}}, "groups must put no image into both"),
        ({"groups": {"normal": [1] * 6}}, "groups must have at least two entries"),
        ({"groups": {"normal": [0, 1, 2, 0, 0, 0], "other": [1] * 6}}, r"groups\['normal'\] must be 0"),
    ],
)
def test_the_prior_explorer_refuses_what_it_cannot_show(given, message):
    with pytest.raises(ValueError, match=f"^AAEPriorExplorer: {message}"):
        prior(**given)


def test_the_truth_of_runs_may_be_numbers():
    def explorer(truth):
        rng = np.random.default_rng(0)
        runs = explorers.ContaminationRuns(
            rates=np.array([0.0, 0.1]),
            seeds=np.array([0]),
            epochs=np.array([1]),
            scores=rng.random((2, 1, 1, 12)),
            holdout_scores=rng.random((2, 1, 1, 9)),
            is_anomaly=truth,
            images=IMAGES[None],
        )
        return explorers.ContaminationExplorer(runs)

    as_numbers, as_truth = explorer(TRUTH[None].astype(int)), explorer(TRUTH[None])
    assert as_numbers.summary() == as_truth.summary()
    assert as_numbers.to_image().tobytes() == as_truth.to_image().tobytes()


def test_a_table_with_a_missing_run_is_refused():
    values = np.full((4, 3, 1, 3, 1), 0.7)
    values[0, 0, 0, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"EvaluationTable: values must be measures in \[0, 1\]"):
        explorers.EvaluationPitfallsExplorer(EvaluationTable(values), range(3))
    values[0, 0, 0, 1, 0] = 0.5
    with pytest.raises(ValueError, match="the published AUROC must be in"):
        explorers.EvaluationPitfallsExplorer(EvaluationTable(values), range(3), published=("paper", 74.0))


def test_corruptions_in_uint8_are_those_in_floating_point():
    pixels = np.random.default_rng(1).integers(0, 256, IMAGES.shape).astype(np.uint8)
    forms = [
        explorers.NoiseExplorer(Detector(), IMAGES, corruptions={"noise": corrupted})
        for corrupted in (pixels, pixels / np.float32(255))
    ]
    assert forms[0].summary() == forms[1].summary()
    with pytest.raises(ValueError, match=r"corruptions\['noise'\] must be finite"):
        explorers.NoiseExplorer(Detector(), IMAGES, corruptions={"noise": np.full(IMAGES.shape, np.nan)})
