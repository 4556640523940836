"""Attacks: the constraint is kept, the objective never falls below its start, the grid search is exhaustive."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from advad import attacks


def images(n=6, shape=(1, 8, 8), seed=0):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def encoder():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 5))


def latent_distance(encoder, x):
    z = encoder(x).detach()
    return lambda moved: (encoder(moved) - z).square().mean(1)


def test_projections_against_hand_numbers():
    delta = torch.tensor([[3.0, -4.0], [0.3, 0.4]])
    assert torch.equal(attacks.project_linf(delta, 1.0), torch.tensor([[1.0, -1.0], [0.3, 0.4]]))
    assert torch.allclose(attacks.project_l2(delta, 1.0), torch.tensor([[0.6, -0.8], [0.3, 0.4]]))
    assert torch.equal(attacks.project_l2(delta, 0.0), torch.zeros(2, 2))


def test_random_starts_fill_their_balls():
    x = torch.zeros(4000, 1, 1, 2)
    generator = torch.Generator().manual_seed(0)
    cube, disc = attacks.random_linf(x, 0.5, generator), attacks.random_l2(x, 0.5, generator)
    assert 0.49 < cube.abs().max() <= 0.5
    radii = disc.flatten(1).norm(dim=1)
    assert radii.max() <= 0.5 + 1e-6
    # uniform in a disc: half of the points lie within radius/√2
    assert (radii < 0.5 / math.sqrt(2)).float().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.0, 0.05, 0.7])
def test_pgd_keeps_its_constraint(encoder, norm, radius):
    x = images()
    moved = attacks.pgd(latent_distance(encoder, x), x, norm=norm, radius=radius, steps=10)
    delta = (moved - x).flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert size.max() <= radius + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_never_ends_below_its_random_start(encoder, norm):
    x = images(40)
    objective = latent_distance(encoder, x)
    draw = {"linf": attacks.random_linf, "l2": attacks.random_l2}[norm]
    start = draw(x, 0.3, torch.Generator().manual_seed(5))
    for steps in (0, 1, 7):  # a huge step overshoots, and must not cost what the start had
        moved = attacks.pgd(objective, x, norm=norm, radius=0.3, steps=steps, step_size=5.0, start=start)
        assert (objective(moved) >= objective((x + start).clamp(0, 1)) - 1e-7).all()


def test_pgd_finds_the_linear_maximum():
    """For a linear objective w·x the worst δ in l∞ is radius·sign(w), and in l2 radius·w/‖w‖."""
    w = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    x = torch.full((3, 1, 8, 8), 0.5)
    linear = lambda moved: (moved * w).flatten(1).sum(1)  # noqa: E731
    moved = attacks.pgd(linear, x, radius=0.1, steps=30)
    assert torch.allclose(moved - x, (0.1 * w.sign()).expand_as(x), atol=1e-6)
    moved = attacks.pgd(linear, x, norm="l2", radius=0.1, step_size=0.05, steps=60)
    assert torch.allclose(moved - x, (0.1 * w / w.norm()).expand_as(x), atol=1e-3)


def test_with_clip_a_black_pixel_stays_black_until_its_delta_is_positive():
    """By hand: x = 0, δ from −0.15 in steps of 0.1 for an objective that rises with x; after 1, 2, 3 steps.

    "clip": δ −0.05, 0.05, 0.15. "project": the start is the black image, so δ 0.1, 0.2, 0.2 (the radius).
    """
    x, start = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -0.15)

    def last(steps, box):
        settings = {"radius": 0.2, "step_size": 0.1, "start": start, "best": False}
        return attacks.pgd(lambda moved: moved.sum((1, 2, 3)), x, steps=steps, box=box, **settings).item()

    assert [last(steps, "clip") for steps in (1, 2, 3)] == pytest.approx([0, 0.05, 0.15])
    assert [last(steps, "project") for steps in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.2])
    assert [last(steps, "none") for steps in (0, 1, 2)] == pytest.approx([-0.15, -0.05, 0.05])


@pytest.mark.parametrize("box", ["clip", "project"])
def test_the_last_point_is_not_always_the_best(box):
    """x = 0.5, the objective peaks at 0.6: a step of 0.3 from 0.55 overshoots, and `best` takes the start."""
    x, start = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.05)
    settings = {"radius": 0.4, "step_size": 0.3, "steps": 1, "start": start, "box": box}
    peak = lambda moved: -(moved - 0.6).abs().sum((1, 2, 3))  # noqa: E731
    assert attacks.pgd(peak, x, **settings).item() == pytest.approx(0.55)
    assert attacks.pgd(peak, x, **settings, best=False).item() == pytest.approx(0.85)


def test_pgd_refuses_unknown_names():
    x = images(2)
    with pytest.raises(ValueError, match="^pgd: box must be one of 'project', 'clip', 'none'; got 'ball'"):
        attacks.pgd(lambda moved: moved.sum((1, 2, 3)), x, radius=0.1, box="ball")
    with pytest.raises(ValueError, match="^pgd: norm must be one of 'linf', 'l2'; got 'l1'"):
        attacks.pgd(lambda moved: moved.sum((1, 2, 3)), x, radius=0.1, norm="l1")


def test_pgd_treats_each_image_alone(encoder):
    x, start = images(), torch.zeros(6, 1, 8, 8) + 0.01
    together = attacks.pgd(latent_distance(encoder, x), x, radius=0.2, steps=5, start=start)
    for i in range(len(x)):
        one = slice(i, i + 1)
        alone = attacks.pgd(latent_distance(encoder, x[one]), x[one], radius=0.2, steps=5, start=start[one])
        assert torch.allclose(alone, together[one], atol=1e-6)


def test_pgd_leaves_weights_and_gradients_alone(encoder):
    before = [p.clone() for p in encoder.parameters()]
    attacks.pgd(latent_distance(encoder, images()), images(), radius=0.2, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert all(p.grad is None for p in encoder.parameters())


def test_transform_against_numpy():
    x = images(2, (3, 8, 8))
    assert torch.allclose(attacks.transform(x, 0.0), x, atol=1e-6)
    turned = attacks.transform(x, 90.0).numpy()
    assert np.allclose(turned, np.rot90(x.numpy(), 1, axes=(2, 3)), atol=1e-5)  # counter-clockwise
    shifted = attacks.transform(x, 0.0, (2, 1))  # right by two, down by one; black comes in
    assert torch.allclose(shifted[..., 1:, 2:], x[..., :-1, :-2], atol=1e-5)
    assert shifted[..., 0, :].abs().max() < 1e-5
    assert shifted[..., :2].abs().max() < 1e-5


def test_transform_turns_first_and_shifts_then():
    x = images(1, (1, 9, 9))
    both = attacks.transform(x, 90.0, (1, 0))
    expected = attacks.transform(attacks.transform(x, 90.0), 0.0, (1, 0))
    assert torch.allclose(both, expected, atol=1e-5)


def test_transform_of_oblong_images_keeps_shapes_rigid():
    """A square of ones stays a square of the same area when a 6×12 image is turned by 90°."""
    x = torch.zeros(1, 1, 6, 12)
    x[..., 2:4, 4:8] = 1  # 2 high, 4 wide, centred
    turned = attacks.transform(x, 90.0)
    expected = torch.zeros_like(x)
    expected[..., 1:5, 5:7] = 1
    assert torch.allclose(turned, expected, atol=1e-5)


def test_worst_transform_equals_brute_force(encoder):
    x = images(5)
    objective = latent_distance(encoder, x)
    degrees, shifts = [-30.0, -10.0, 0.0, 20.0], [(0, 0), (2, 0), (0, -2)]
    found = attacks.worst_transform(objective, x, degrees=degrees, shifts=shifts)
    with torch.no_grad():
        candidates = torch.stack([attacks.transform(x, d, s) for d in degrees for s in shifts])
        values = torch.stack([objective(candidate) for candidate in candidates])
    for i in range(len(x)):
        assert torch.equal(found[i], candidates[values[:, i].argmax(), i])
