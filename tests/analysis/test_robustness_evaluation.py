"""The ensemble's evaluation: known optima, each warning fires where it must and only there, verdicts, bad input."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

import advad
from advad.analysis.attack_ensemble import APGD, CORNERS, FAR_END, MANY, SMOOTHED, SQUARE, Budget, Target, worst_case
from advad.analysis.attacked_decisions import decision_curve
from advad.analysis.robustness import attack_scores, evaluate, robust_auroc

RNG = np.random.default_rng(0)
NORMALS = (0.2 * RNG.random((12, 1, 6, 6))).astype(np.float32)
ANOMALIES = (0.2 + 0.3 * RNG.random((10, 1, 6, 6))).astype(np.float32)
QUICK = Budget(steps=20, starts=2, queries=100, draws=8, probes=8)
SETTINGS = {"budget": QUICK, "progress": False}


def brightness(x):
    return x.mean((1, 2, 3))


def run(score, radius=0.1, direction="raise", **changes):
    return evaluate(score, NORMALS, ANOMALIES, radius, direction, **SETTINGS | changes)


class Drawing:
    """A detector whose reconstruction is always nearly black: |x − r|², with pixels at 0 where a gradient is stuck."""

    device_ = torch.device("cpu")
    image_shape_ = (1, 6, 6)

    def reconstruct_tensor(self, x):
        return torch.full_like(x, 0.04)

    def score_tensor(self, x):
        return (x - 0.04).square().mean((1, 2, 3))


def test_raising_brightness_finds_the_exact_worst_case():
    result = run(brightness)
    assert result.after[:12] == pytest.approx(NORMALS.mean((1, 2, 3)) + 0.1, abs=1e-6)
    assert np.array_equal(result.images[12:], ANOMALIES)  # they are not attacked
    assert np.array_equal(result.after[12:], result.before[12:])
    assert result.auroc_before == 1.0
    assert result.auroc == advad.auroc(
        result.is_anomaly, np.r_[NORMALS.mean((1, 2, 3)) + 0.1, ANOMALIES.mean((1, 2, 3))]
    )
    assert result.warnings == []
    assert result.is_robust_auroc
    assert "may be called a robust AUROC" in str(result)


def test_both_directions_move_both_classes():
    result = run(brightness, direction="both")
    exact = np.r_[NORMALS.mean((1, 2, 3)) + 0.1, (ANOMALIES - 0.1).mean((1, 2, 3))]
    assert result.after == pytest.approx(exact, abs=1e-6)
    assert result.attacked.all()
    lowered = run(brightness, direction="lower")
    assert lowered.after == pytest.approx(np.r_[NORMALS.mean((1, 2, 3)), exact[12:]], abs=1e-6)
    assert lowered.attacked.tolist() == lowered.is_anomaly.tolist()


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.05), ("l2", 0.4)])
def test_images_have_the_scores_that_are_reported_and_stay_in_the_ball(norm, radius):
    result = run(Drawing(), radius, "both", norm=norm)
    assert result.after == pytest.approx(Drawing().score_tensor(torch.tensor(result.images)).numpy(), rel=1e-5)
    change = (result.images - np.concatenate([NORMALS, ANOMALIES])).reshape(22, -1)
    size = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
    assert size.max() <= radius + 1e-5
    assert result.images.min() >= 0
    assert result.images.max() <= 1


def test_the_ensemble_is_never_beaten_by_a_member_and_the_table_says_who_found_what():
    black = np.zeros_like(NORMALS)
    result = evaluate(Drawing(), black, ANOMALIES, 0.1, **SETTINGS)
    assert list(result.by_attack) == [APGD, FAR_END, SMOOTHED, MANY, CORNERS, SQUARE]
    for values in result.by_attack.values():
        assert np.isnan(values[12:]).all()
        assert (values[:12] <= result.after[:12]).all()
    exact = 0.06**2  # every pixel at 0.1
    assert result.after[:12] == pytest.approx(np.full(12, exact), abs=1e-7)
    rows = {row["attack"]: row for row in result.table()}
    assert rows[FAR_END]["best_on"] == 1.0
    assert rows[APGD]["best_on"] == 0.0  # its gradient points below black
    assert rows["ensemble"]["mean_gain"] == pytest.approx(exact - 0.04**2, abs=1e-7)
    assert rows[APGD]["mean_gain"] < rows["ensemble"]["mean_gain"]


# ---------------------------------------------------------------------- warnings


class Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


def test_a_masked_gradient_warns_twice():
    result = evaluate(lambda x: brightness(Masked.apply(x)), NORMALS, ANOMALIES + np.float32(0.4), 0.1, **SETTINGS)
    zero = result.checks["normals, zero gradients"]
    assert zero.warns
    assert zero.value > 0.5  # two random points of a ball can be equally bright
    assert "The gradient is exactly 0 on 100% of the images and 100% of the pixels; on" in zero.text
    assert result.checks["normals, black box"].value == 1.0  # no search by gradient moves but by chance
    assert result.checks["normals, black box"].warns
    assert result.checks["normals, unbounded radius"].warns
    assert not result.is_robust_auroc
    assert "must not be called a robust AUROC" in result.verdict


def test_a_gradient_that_is_no_number_warns_and_the_others_find_the_optimum():
    """√(x²) at a black pixel: 0 / 0. Random starts end there where a step leads below 0."""
    black = np.zeros_like(NORMALS)
    result = evaluate(lambda x: x.square().sqrt().mean((1, 2, 3)), black, ANOMALIES, 0.1, **SETTINGS)
    assert result.checks["normals, zero gradients"].warns
    assert result.after[:12] == pytest.approx(np.full(12, 0.1), abs=1e-6)
    assert not result.is_robust_auroc


def test_pixels_that_the_score_ignores_are_no_masked_gradient():
    result = run(lambda x: x[..., :3].mean((1, 2, 3)))
    zero = result.checks["normals, zero gradients"]
    assert "0% of the images and 50% of the pixels; on 0%" in zero.text
    assert not zero.warns
    assert result.is_robust_auroc


def test_a_random_score_is_attacked_in_expectation_and_says_so():
    generator = torch.Generator().manual_seed(0)
    calls = []

    def score(x):
        calls.append(len(x))
        return brightness(x) + 0.01 * torch.randn(len(x), generator=generator)

    result = run(score)
    assert result.draws == QUICK.draws
    assert result.checks["random score"].warns
    assert "the mean of 8 draws (EOT)" in result.warnings[0]
    exact = NORMALS.mean((1, 2, 3)) + 0.1
    assert np.abs(result.after[:12] - exact).max() < 5 * 0.01 / QUICK.draws**0.5
    single = run(brightness)
    assert single.draws == 1
    assert not single.checks["random score"].warns


def test_a_narrow_valley_that_a_short_search_misses_warns():
    """One step cannot follow a maximum that lies inside the ball; twice the steps and starts find more."""
    peak = torch.tensor(NORMALS[:1]) + 0.03

    def score(x):
        return torch.exp(-200 * (x - peak).square().sum((1, 2, 3)))

    result = run(score, 0.2, budget=Budget(steps=2, starts=1, queries=2, probes=12))
    assert result.checks["normals, longer search"].warns
    assert result.checks["normals, monotone in the radius"].warns  # half the radius lands nearer to the peak
    assert not result.is_robust_auroc


def test_an_unbounded_attack_that_stops_short_warns():
    """White images score highest, but every gradient points to black."""

    def score(x):
        return 5.0 * (brightness(x) > 0.9) - brightness(x)

    white = np.concatenate([ANOMALIES, np.ones((1, 1, 6, 6), np.float32)])
    result = evaluate(score, NORMALS, white, 0.05, **SETTINGS)
    assert result.checks["normals, unbounded radius"].warns
    assert [name for name, check in result.checks.items() if check.warns] == ["normals, unbounded radius"]


# ---------------------------------------------------------------------- long evaluations


def test_an_evaluation_that_was_broken_off_goes_on_and_ends_as_if_undisturbed(tmp_path):
    calls = []

    class Slow(Drawing):
        def score_tensor(self, x):
            calls.append(len(x))
            if len(calls) == limit:
                raise KeyboardInterrupt
            return super().score_tensor(x)

    settings = SETTINGS | {"batch_size": 4, "direction": "both"}
    limit = 0
    whole = evaluate(Slow(), NORMALS, ANOMALIES, 0.05, **settings)
    needed, calls[:] = len(calls), []
    limit = needed // 2
    with pytest.raises(KeyboardInterrupt):
        evaluate(Slow(), NORMALS, ANOMALIES, 0.05, folder=tmp_path, **settings)
    limit, calls[:] = 0, []
    next(tmp_path.glob("*.safetensors")).write_bytes(b"damaged")  # is attacked again
    resumed = evaluate(Slow(), NORMALS, ANOMALIES, 0.05, folder=tmp_path, **settings)
    assert len(calls) < 0.8 * needed
    calls.clear()
    again = evaluate(Slow(), NORMALS, ANOMALIES, 0.05, folder=tmp_path, **settings)
    assert len(calls) < 0.1 * needed
    for result in (resumed, again):
        assert np.array_equal(result.images, whole.images)
        assert np.array_equal(result.after, whole.after)
        assert result.checks == whole.checks
        assert {name: values.tolist() for name, values in result.by_attack.items()}.keys() == whole.by_attack.keys()


def test_what_is_kept_is_used_for_the_same_evaluation_only(tmp_path):
    kept = run(Drawing(), folder=tmp_path)
    for changes in ({"radius": 0.05}, {"seed": 1}, {"norm": "l2"}, {"budget": Budget(steps=21, starts=2, queries=100)}):
        assert np.array_equal(run(Drawing(), folder=tmp_path, **changes).images, run(Drawing(), **changes).images)
    brighter = run(lambda x: brightness(x), folder=tmp_path)
    assert brighter.after[:12] == pytest.approx(NORMALS.mean((1, 2, 3)) + 0.1, abs=1e-6)
    assert np.array_equal(run(Drawing(), folder=tmp_path).images, kept.images)


def test_a_batch_that_the_memory_cannot_hold_is_halved():
    sizes = []

    def score(x):
        sizes.append(len(x))
        if len(x) > 4:
            raise torch.OutOfMemoryError
        return brightness(x)

    result = worst_case(Target(score, None, True, 1), torch.tensor(NORMALS), 1, norm="linf", radius=0.1, budget=QUICK)
    assert result.after.numpy() == pytest.approx(NORMALS.mean((1, 2, 3)) + 0.1, abs=1e-6)
    assert sizes[:3] == [12, 6, 3]
    assert max(sizes[2:]) == 3  # and less where images have converged
    with pytest.raises(torch.OutOfMemoryError):
        worst_case(
            Target(lambda x: score(x.repeat(5, 1, 1, 1)), None, True, 1),
            torch.tensor(NORMALS),
            1,
            norm="linf",
            radius=0.1,
            budget=QUICK,
        )


# ---------------------------------------------------------------------- classical detectors, verdicts, metrics


def test_a_classical_detector_is_attacked_by_square_alone():
    digits = advad.load("digits")
    split = advad.one_class(digits, normal=0, holdout=0.1, seed=0)
    pca = advad.PCA(components=4).fit(split.train)
    normals, anomalies = split.test[~split.test_is_anomaly][:20], split.test[split.test_is_anomaly][:20]
    result = evaluate(pca, normals, anomalies, 0.1, **SETTINGS)
    assert list(result.by_attack) == [SQUARE]
    assert (result.gain > 0).all()
    assert result.after == pytest.approx(pca.anomaly_score(result.images), rel=1e-4)
    assert not result.differentiable
    assert not result.is_robust_auroc
    assert "without a gradient, Square alone was run" in result.verdict


def test_verdicts_change_at_the_radius_that_arithmetic_says():
    normals, anomalies = (np.full((3, 1, 4, 4), level, np.float32) for level in (0.2, 0.6))
    normals[2], anomalies[0] = 0.35, 0.3  # the last two are close to the threshold, or wrong from the start
    result = decision_curve(brightness, normals, anomalies, [0.04, 0.1, 0.25], threshold=0.33, **SETTINGS)
    assert result.normals_cross_at.tolist() == [0.25, 0.25, 0.0]
    assert result.anomalies_cross_at.tolist() == [0.0, np.inf, np.inf]
    assert result.radii.tolist() == [0.0, 0.04, 0.1, 0.25]
    assert result.false_alarms == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert result.misses == pytest.approx([1 / 3] * 4)
    with pytest.raises(ValueError, match="decision_curve: radii must be rising numbers"):
        decision_curve(brightness, normals, anomalies, [0.2, 0.1], threshold=0.3)
    with pytest.raises(TypeError, match=r"threshold must be a number; got None. Call calibrate\(holdout\) first"):
        decision_curve(brightness, normals, anomalies, [0.1])


def test_the_two_metrics_of_a_table():
    black = np.zeros_like(NORMALS)
    dim = np.full_like(NORMALS, 0.09)
    result = robust_auroc(Drawing(), black, dim, 0.1, **SETTINGS)
    by_pgd = attack_scores(Drawing(), black, radius=0.1, steps=40, step_size=0.1 / 16).after
    assert result.auroc == 1.0
    scores = Drawing().score_tensor(torch.tensor(dim)).numpy()
    assert result.auroc_attacked == advad.auroc([0] * 12 + [1] * 12, np.r_[by_pgd, scores])
    assert result.auroc_robust == 0.0  # 0.06² for the normals, 0.05² for the anomalies
    assert result.auroc_attacked > result.auroc_robust
    assert result.evaluation.auroc == 0.0


def test_a_result_is_frozen_and_seeds_repeat():
    first, again, other = (run(Drawing(), seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.by_attack[SQUARE], other.by_attack[SQUARE])
    with pytest.raises(FrozenInstanceError):
        first.radius = 0.2


def test_the_callers_state_is_left_alone():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 1))
    normals = torch.tensor(NORMALS)
    with torch.no_grad():
        run(lambda x: network(x)[:, 0])
    assert all(weights.grad is None for weights in network.parameters())
    assert np.array_equal(normals.numpy(), NORMALS)


def changing(x):
    """Return a score whose shape is right for the first call only."""
    changing.calls += 1
    return brightness(x) if changing.calls < 4 else x.mean()


changing.calls = 0
ERRORS = {
    "evaluate: radius must be in (0, 1]; got 0.0. It is in pixel units": (ValueError, lambda: run(brightness, 0.0)),
    "evaluate: radius must be in (0, 1]; got -0.1": (ValueError, lambda: run(brightness, -0.1)),
    "evaluate: radius must be above 0; got -1": (ValueError, lambda: run(brightness, -1, norm="l2")),
    "evaluate: norm must be one of 'linf', 'l2'; got 'l1'": (ValueError, lambda: run(brightness, norm="l1")),
    "evaluate: direction must be one of 'raise', 'lower', 'both'; got 'up'": (
        ValueError,
        lambda: run(brightness, direction="up"),
    ),
    "evaluate: normals must be finite": (
        ValueError,
        lambda: evaluate(brightness, NORMALS * np.nan, ANOMALIES, 0.1),
    ),
    "evaluate: anomalies must hold images of shape 1×6×6, as the normals": (
        ValueError,
        lambda: evaluate(brightness, NORMALS, ANOMALIES[..., 1:], 0.1),
    ),
    "evaluate: budget must be a Budget; got 100": (TypeError, lambda: run(brightness, budget=100)),
    "evaluate: score must return shape": (ValueError, lambda: run(changing)),
    "evaluate: score must return finite numbers": (ValueError, lambda: run(lambda x: brightness(x) / 0)),
    "evaluate: score must be a fitted detector or a function of images; got 'AE'": (TypeError, lambda: run("AE")),
    "Budget: steps must be at least 1; got 0": (ValueError, lambda: Budget(steps=0)),
    "Budget: draws must be at least 2; got 1": (ValueError, lambda: Budget(draws=1)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_rule_and_got_in_one_line(message):
    error, call = ERRORS[message]
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
