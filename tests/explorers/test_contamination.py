"""Runs over contamination rates, computed once and kept in a file; the explorer shows what they hold."""

import dataclasses
import html

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

import advad
from advad.analysis.contamination import ContaminationRuns, contaminated_runs, load_runs
from advad.explorers.contamination import FALSE_ALARMS, ContaminationExplorer, roc_at

RATES, SEEDS, EPOCHS, N, H = (0.0, 0.05, 0.2), (0, 7), (1, 5), 40, 20


def made_up(seed=0):
    """Return runs without a detector: the more contamination, the lower the anomalies' scores."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.permutation(np.arange(N) < 25) for _ in SEEDS])
    scores = rng.normal(size=(3, 2, 2, N)) + truth[:, None] * np.array([3, 2, 1]).reshape(3, 1, 1, 1)
    holdout = rng.normal(size=(3, 2, 2, H))
    images = rng.integers(0, 256, (2, N, 1, 4, 4)).astype(np.uint8)
    grid = (np.array(RATES), np.array(SEEDS), np.array(EPOCHS))
    return ContaminationRuns(*grid, scores.astype(np.float32), holdout.astype(np.float32), truth, images)


@pytest.fixture
def runs():
    return made_up()


@pytest.fixture
def explorer(runs):
    return ContaminationExplorer(runs, false_alarm_rate=0.1)


def by_hand(runs, a, e):
    """Return AUROC, the share of missed anomalies and that of false alarms, each for each seed."""
    rows = []
    for s in range(len(runs.seeds)):
        truth, scores = runs.is_anomaly[s], runs.scores[a, s, e]
        threshold = np.sort(runs.holdout_scores[a, s, e])[-1 - int(0.1 * H)]
        rows.append(
            (roc_auc_score(truth, scores), (scores[truth] <= threshold).mean(), (scores[~truth] > threshold).mean())
        )
    return np.array(rows).T


def test_roc_at_is_the_step_curve():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=30), rng.normal(1, 1, 50)
    alarms, found, _ = roc_curve(
        np.repeat([0, 1], [30, 50]), np.concatenate([normal, anomalous]), drop_intermediate=False
    )
    expected = [found[alarms <= share + 1e-9].max() for share in FALSE_ALARMS]
    assert roc_at(normal, anomalous, FALSE_ALARMS) == pytest.approx(expected)


def test_each_control_is_answered_in_all_views(runs, explorer):
    seen = []
    for rate, epoch in [(0, 0), (2, 0), (2, 1), (1, 1)]:
        explorer.rate.value, explorer.epoch.value = rate, epoch
        auroc, missed, alarms = by_hand(runs, rate, epoch)
        band, now, least, _, point = explorer.roc.data
        assert now.name == f"α = {100 * RATES[rate]:g}%: AUROC {auroc.mean():.3f}"
        assert least.name == f"α = 0%: AUROC {by_hand(runs, 0, epoch)[0].mean():.3f}"
        assert (point.x[0], point.y[0]) == pytest.approx((alarms.mean(), 1 - missed.mean()))
        curves = [
            roc_at(runs.scores[rate, s, epoch][~truth], runs.scores[rate, s, epoch][truth], FALSE_ALARMS)
            for s, truth in enumerate(runs.is_anomaly)
        ]
        assert now.y == pytest.approx(np.mean(curves, axis=0))
        assert band.y == pytest.approx(np.concatenate([np.max(curves, axis=0), np.min(curves, axis=0)[::-1]]))
        for group, line in enumerate(explorer.histograms.data[1::2]):
            shares = explorer.views["detector"].shares[rate, :, epoch, group]
            assert line.y[::2] == pytest.approx(shares.mean(0))
        assert html.escape(explorer.summary()) in explorer.text.value
        assert html.escape(explorer.summary()) in explorer.image_view.value  # the text alternative
        seen.append(explorer.image_view.value)
        assert not explorer.errors.outputs
    assert len(set(seen)) == 4


def test_the_summary_has_the_mean_and_the_range_over_seeds(runs, explorer):
    auroc, missed, _ = by_hand(runs, 2, 1)
    assert explorer.summary() == (
        f"α = 20%, epoch 5: AUROC {auroc.mean():.3f} ({auroc.min():.3f} to {auroc.max():.3f}); at 10% false alarms "
        f"on held-out images {missed.mean():.1%} ({missed.min():.1%} to {missed.max():.1%}) of the anomalies are "
        f"missed, {by_hand(runs, 0, 1)[1].mean():.1%} at α = 0%. 2 seeds: mean, lowest and highest."
    )


def test_histograms_count_what_lies_below_the_threshold(runs):
    explorer = ContaminationExplorer(runs, false_alarm_rate=0.1)
    for name, view in explorer.views.items():
        assert name == "detector"
        threshold = np.sort(runs.holdout_scores, axis=-1)[..., -1 - int(0.1 * H), None]
        assert np.array_equal(view.scaled.scores > 1, runs.scores > threshold)
        middle = np.median(runs.holdout_scores, axis=-1, keepdims=True)
        assert view.scaled.scores == pytest.approx((runs.scores - middle) / (threshold - middle))
        assert view.shares.sum(-1) == pytest.approx(1)


def test_the_strip_shows_the_missed_anomalies_from_the_lowest(runs, explorer):
    explorer.rate.value, explorer.epoch.value = 2, 1
    truth, scores = runs.is_anomaly[0], runs.scores[2, 0, 1]
    threshold = np.sort(runs.holdout_scores[2, 0, 1])[-1 - int(0.1 * H)]
    missed = np.flatnonzero(truth & (scores <= threshold))
    lowest = missed[np.argsort(scores[missed])][:11]
    assert len(lowest) > 3
    copy = dataclasses.replace(runs, images=np.zeros_like(runs.images))
    copy.images[0, lowest] = runs.images[0, lowest]  # others do not matter
    assert np.array_equal(np.asarray(ContaminationExplorer(copy, 0.1).strip()), np.asarray(explorer.strip()))


def test_nothing_missed_shows_an_empty_row(runs):
    perfect = dataclasses.replace(runs, scores=runs.scores + 100 * runs.is_anomaly[:, None].astype(np.float32))
    explorer = ContaminationExplorer(perfect)
    assert " 0.0% (0.0% to 0.0%) of the anomalies are missed, 0.0% at" in explorer.summary()
    assert explorer.strip().height == ContaminationExplorer(runs).strip().height


def test_one_seed_has_no_band_and_says_so(runs):
    one = ContaminationRuns(
        runs.rates, runs.seeds[:1], runs.epochs, runs.scores[:, :1], runs.holdout_scores[:, :1],
        runs.is_anomaly[:1], runs.images[:1],
    )  # fmt: skip
    explorer = ContaminationExplorer(one)
    band, now, *_ = explorer.roc.data
    assert np.array_equal(band.y[: len(FALSE_ALARMS)], now.y)
    assert explorer.summary().endswith("One seed: no band.")


def test_methods_can_be_switched(runs):
    other = made_up(1)
    explorer = ContaminationExplorer({"AE": runs, "AAE": other})
    first = explorer.summary()
    explorer.method.value = "AAE"
    assert first.startswith("AE, α = ")
    assert explorer.summary().startswith("AAE, α = ")
    assert f"AUROC {other.auroc()[2, :, 1].mean():.3f}" in explorer.roc.data[1].name
    with pytest.raises(ValueError, match=r"ContaminationExplorer: runs\['short'\] must have the rates of the first"):
        ContaminationExplorer({"AE": runs, "short": dataclasses.replace(runs, rates=runs.rates / 2)})


def test_the_static_image_is_both_plots_over_the_strip(explorer):
    twin, strip = explorer.to_image(), explorer.strip()
    assert twin.width == max(4 * 440, strip.width)
    assert np.array_equal(np.asarray(twin)[-strip.height :, : strip.width], np.asarray(strip))


def test_an_error_shows_in_its_panel(explorer):
    explorer.views["detector"].auroc = None
    with pytest.raises(TypeError):
        explorer.rate.value = 0  # without a kernel, the panel lets the error through


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"scores": r.scores[:2]}, r"ContaminationRuns: scores must have shape \(3, 2, 2, 40\)"),
        (lambda r: {"rates": r.rates[::-1]}, r"ContaminationRuns: rates must rise; got \[0.2, 0.05, 0.0\]"),
        (lambda r: {"scores": r.scores * np.nan}, "ContaminationRuns: scores must be finite; .* Have all runs been"),
        (lambda r: {"is_anomaly": r.is_anomaly & False}, "is_anomaly must mark at least one image of each class"),
    ],
)
def test_runs_that_do_not_fit_are_refused(runs, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(runs, **change(runs))


# ---------------------------------------------------------------------- computing them

SETTINGS = {"widths": (16,), "latent_dim": 4, "epochs": 3, "batch_size": 32, "device": "cpu"}


def make(seed):
    return advad.AE(**SETTINGS, seed=seed)


def split_at(rate, seed):
    return advad.one_class(advad.load("digits"), normal=0, contamination=rate, seed=seed, train_size=60, test_size=40)


ASKED = {"rates": (0, 0.2), "seeds": (0, 1), "epochs": (1, 3), "progress": False}


def test_the_scores_are_those_of_a_detector_trained_so_long():
    runs = contaminated_runs(make, split_at, **ASKED)
    split = split_at(0.2, 1)
    for e, epochs in enumerate((1, 3)):
        detector = make(1).set_params(epochs=epochs).fit(split.train, progress=False)
        assert np.array_equal(runs.scores[1, 1, e], detector.anomaly_score(split.test))
        assert np.array_equal(runs.holdout_scores[1, 1, e], detector.anomaly_score(split.holdout))
    assert np.array_equal(runs.images[1], split.test)
    assert np.array_equal(runs.is_anomaly[1], split.test_is_anomaly)
    assert runs.auroc()[1, 1, 1] == pytest.approx(advad.auroc(split.test_is_anomaly, runs.scores[1, 1, 1]))


def test_what_is_finished_is_not_trained_again(tmp_path):
    path, trained = tmp_path / "runs" / "ae.npz", []

    def killed_after(count):
        def make_one(seed):
            detector = make(seed)
            fit = detector.fit

            def counted(*args, **settings):
                if len(trained) == count:
                    raise KeyboardInterrupt
                trained.append(seed)
                return fit(*args, **settings)

            detector.fit = counted
            return detector

        return make_one

    with pytest.raises(KeyboardInterrupt):
        contaminated_runs(killed_after(2), split_at, **ASKED, path=path)
    with pytest.raises(ValueError, match="must be finite"):
        load_runs(path)
    resumed = contaminated_runs(killed_after(9), split_at, **ASKED, path=path)
    assert len(trained) == 4
    contaminated_runs(killed_after(4), split_at, **ASKED, path=path)  # nothing is left to train
    whole = contaminated_runs(make, split_at, **ASKED)
    for runs in (resumed, load_runs(path)):
        for field in dataclasses.fields(runs):
            assert np.array_equal(getattr(runs, field.name), getattr(whole, field.name))
    with pytest.raises(ValueError, match="path .* holds other runs: seeds, is_anomaly, images differ. Choose another"):
        contaminated_runs(make, split_at, **{**ASKED, "seeds": (0, 2)}, path=path)
    with pytest.raises(ValueError, match="path .* holds other runs: method differ"):
        contaminated_runs(lambda seed: make(seed).set_params(latent_dim=5), split_at, **ASKED, path=path)


def test_epochs_beyond_the_training_are_refused():
    with pytest.raises(ValueError, match=r"contaminated_runs: epochs must be whole numbers in \[1, 3\]; got \[1, 4\]"):
        contaminated_runs(make, split_at, rates=(0,), epochs=(1, 4), progress=False)


def test_a_test_part_that_changes_with_the_rate_is_refused():
    def other_seed(rate, seed):
        return split_at(rate, seed + (rate > 0))

    with pytest.raises(ValueError, match="split_at must keep a seed's test images at every rate; got 0.2"):
        contaminated_runs(make, other_seed, **ASKED)
