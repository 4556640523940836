"""The attack explorer: what it shows is what the attacks of `advad.attacks` do, and each control is answered."""

import html
from itertools import pairwise

import numpy as np
import pytest
import torch

from advad import attacks
from advad.explorers import AttackExplorer
from advad.explorers.attack import APGD, FAR_END, FRAMES, PGD, SQUARE

WEIGHTS = torch.linspace(-1, 1, 16).view(1, 4, 4)
IMAGES = np.random.default_rng(0).uniform(0.3, 0.7, size=(5, 1, 4, 4)).astype(np.float32)


class Linear:
    """Scores by a weighted sum of the pixels; counts the calls."""

    calls = 0

    def score_tensor(self, x):
        Linear.calls += 1
        return (x * WEIGHTS).sum(dim=(1, 2, 3))

    def anomaly_score(self, X):
        return (torch.as_tensor(X).float() * WEIGHTS).sum(dim=(1, 2, 3)).numpy()


class Grey(Linear):
    """Reconstructs grey, and scores by the squared difference from that."""

    threshold_ = 0.05

    def score_tensor(self, x):
        return (x - 0.5).square().mean(dim=(1, 2, 3))

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X).float()).numpy()

    def reconstruct(self, X):
        return np.full(np.shape(X), 0.5, dtype=np.float32)

    def reconstruct_tensor(self, x):
        return torch.full_like(x, 0.5)


class NoGradient(Linear):
    score_tensor = None


@pytest.fixture
def explorer():
    return AttackExplorer(Linear(), IMAGES, labels=[8, 3, 8, 8, 3])


def test_it_opens_without_an_attack(explorer):
    assert explorer.radius.value == 0
    assert explorer.summary() == (
        f"Image 0 (class 8): Linear scores it {explorer.set.scores[0]:.4g}, "
        f"{explorer.set.comparison(explorer.set.scores[0])}. Move the radius to attack it."
    )
    assert len(explorer.path().scores) == 1
    assert np.array_equal(explorer.shown()[0], IMAGES[0])


@pytest.mark.parametrize("attack", [PGD, APGD])
@pytest.mark.parametrize(("direction", "sign"), [("raise", 1), ("lower", -1)])
def test_a_linear_score_moves_to_the_corner_that_is_its_optimum(explorer, attack, direction, sign):
    explorer.direction.value, explorer.attack.value, explorer.radius.value = direction, attack, 0.1
    attacked, score, _ = explorer.shown()
    change = sign * 0.1 * np.sign(WEIGHTS.numpy())
    assert attacked == pytest.approx(IMAGES[0] + change, abs=1e-6)
    gain = 0.1 * float(WEIGHTS.abs().sum())
    assert score == pytest.approx(explorer.set.scores[0] + sign * gain, abs=1e-5)
    said = (
        f"{attack} {direction}s that to {score:.4g}, {explorer.set.comparison(score)}; the change is at most 0.1 in l∞."
    )
    assert said in explorer.summary()
    assert html.escape(explorer.summary()) in explorer.text.value


@pytest.mark.parametrize("attack", [PGD, APGD, FAR_END, SQUARE])
def test_the_last_frame_is_what_the_attack_returns(attack):
    explorer = AttackExplorer(Grey(), IMAGES, steps=7, queries=30, seed=3)
    explorer.attack.value, explorer.radius.value = attack, 0.2
    x, generator = torch.as_tensor(IMAGES[:1]), torch.Generator().manual_seed(3)
    score, ball = Grey().score_tensor, {"norm": "linf", "radius": 0.2, "generator": generator}
    if attack == PGD:
        expected = attacks.pgd(score, x, steps=7, **ball)
    elif attack == SQUARE:
        expected = attacks.square(score, x, queries=30, **ball)
    else:
        start = attacks.far_end(x, torch.full_like(x, 0.5), 0.2) - x if attack == FAR_END else None
        expected = attacks.apgd(score, x, steps=7, start=start, **ball)
    assert explorer.shown()[0] == pytest.approx(expected[0].numpy(), abs=1e-6)


def test_frames_lead_from_the_image_to_the_best_and_never_back():
    explorer = AttackExplorer(Grey(), IMAGES, queries=50)
    explorer.attack.value, explorer.radius.value = SQUARE, 0.2
    path = explorer.path()
    assert len(path.scores) == 51  # the image itself, and each query
    assert np.abs(path.images - IMAGES[0]).max() <= 0.2 + 1e-6
    assert path.scores[path.best] == pytest.approx(np.maximum.accumulate(path.scores))
    shown = []
    for frame in range(FRAMES + 1):
        explorer.frame.value = frame
        shown.append(explorer.shown()[1])
        assert explorer.plot.data[2].y[0] == shown[-1]
        assert html.escape(explorer.summary()) in explorer.text.value
    assert shown[0] == path.scores[0]
    assert all(before <= after for before, after in pairwise(shown))
    explorer.frame.value = FRAMES // 2
    assert " after 25 of 50 evaluations, " in explorer.summary()


def test_the_verdict_turns_where_the_score_crosses_the_threshold():
    explorer = AttackExplorer(Grey(), IMAGES)
    assert "It is called normal." in explorer.summary()
    explorer.radius.value = 0.01
    assert explorer.summary().endswith("It is still called normal.")
    explorer.radius.value = 0.3
    assert explorer.summary().endswith("It is now called anomalous.")


def test_attacks_are_offered_where_they_can_be_run():
    explorer = AttackExplorer({"none": NoGradient(), "linear": Linear(), "grey": Grey()}, IMAGES)
    assert explorer.attack.options == (PGD, APGD, FAR_END, SQUARE)
    explorer.attack.value = FAR_END
    explorer.direction.value = "lower"  # a far end only raises
    assert (explorer.attack.options, explorer.attack.value) == ((PGD, APGD, SQUARE), PGD)
    explorer.attack.value = APGD
    explorer.direction.value = "raise"
    explorer.detector.value = "linear"
    assert (explorer.attack.options, explorer.attack.value) == ((PGD, APGD, SQUARE), APGD)
    explorer.detector.value = "none"
    assert explorer.attack.options == (SQUARE,)
    explorer.radius.value = 0.1
    assert "Square raises that to" in explorer.summary()


def test_the_far_end_is_found_where_pgd_stays():
    class Black(Grey):
        def score_tensor(self, x):
            return (x - 0.02).square().mean(dim=(1, 2, 3))

        def reconstruct_tensor(self, x):
            return torch.full_like(x, 0.02)

    explorer = AttackExplorer(Black(), np.zeros_like(IMAGES))  # a gradient points below 0
    explorer.radius.value, explorer.attack.value = 0.05, FAR_END
    assert explorer.shown()[1] == pytest.approx(0.03**2)


def test_l2_bounds_the_length_of_the_change():
    explorer = AttackExplorer(Linear(), IMAGES, norm="l2")
    explorer.radius.value = 0.25
    assert np.linalg.norm(explorer.shown()[0] - IMAGES[0]) == pytest.approx(0.25, abs=1e-5)
    assert "the change is at most 0.25 in l2" in explorer.summary()


def test_an_attack_is_computed_once(explorer):
    explorer.radius.value = 0.1
    explorer.radius.value = 0.2
    calls = Linear.calls
    explorer.frame.value = 3
    explorer.radius.value = 0.1
    assert Linear.calls == calls


def test_another_choice_shows_the_end_of_its_own_path(explorer):
    explorer.radius.value = 0.1
    explorer.frame.value = 3
    explorer.picker.value = 1
    assert explorer.frame.value == FRAMES
    assert explorer.path().images[0] == pytest.approx(IMAGES[1])


def test_the_static_form_shows_the_present_frame():
    explorer = AttackExplorer(Grey(), IMAGES)
    shown = [explorer.to_image()]
    explorer.radius.value = 0.2
    shown.append(explorer.to_image())
    explorer.frame.value = 1
    shown.append(explorer.to_image())
    assert all(before.tobytes() != after.tobytes() for before, after in pairwise(shown))
    assert {image.size for image in shown} == {shown[0].size}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"norm": "l1"}, "norm must be one of 'linf', 'l2'; got 'l1'"),
        ({"radii": (0.1, 0.2)}, "radii must rise from 0"),
        ({"radii": (0, 0.2, 0.1)}, "radii must rise from 0"),
        ({"radii": (0, 2)}, r"the last of radii must be in \(0, 1\]; got 2"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"queries": 0}, "queries must be at least 1"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_what_cannot_be_attacked_is_refused(given, message):
    with pytest.raises(ValueError, match=f"^AttackExplorer: {message}"):
        AttackExplorer(Linear(), IMAGES, **given)
