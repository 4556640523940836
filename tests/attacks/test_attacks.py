"""Attacks: known maxima are found, the constraint is kept, no search ends below its start, bad input is refused."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from advad import attacks
from advad.attacks import black_box, square


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

    "clip": δ −0.05, 0.05, 0.15. "project": the start is the black image, so δ 0.1, 0.2, 0.2 (the radius). "saturate":
    no gradient passes the clipped pixel, δ stays −0.15.
    """
    x, start = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -0.15)

    def last(steps, box):
        settings = {"radius": 0.2, "step_size": 0.1, "start": start, "best": False}
        return attacks.pgd(lambda moved: moved.sum((1, 2, 3)), x, steps=steps, box=box, **settings).item()

    assert [last(steps, "clip") for steps in (1, 2, 3)] == pytest.approx([0, 0.05, 0.15])
    assert [last(steps, "project") for steps in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.2])
    assert [last(steps, "saturate") for steps in (1, 2, 3)] == [0, 0, 0]
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
    with pytest.raises(ValueError, match="^pgd: box must be one of 'project', 'clip', 'saturate', 'none'; got 'ball'"):
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


# ---------------------------------------------------------------------- APGD and the far end


def linear(w):
    return lambda moved: (moved * w).flatten(1).sum(1)


def test_apgd_halves_its_steps_where_the_paper_says():
    """Croce and Hein 2020, Sec. 3.1: p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99."""
    assert attacks.gradient._checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_apgd_finds_the_corner_of_a_linear_and_of_a_quadratic_objective():
    w = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    x = images(5)
    x[x < 0.3], x[x > 0.8] = 0.0, 1.0  # some pixels cannot move in one of the directions
    moved = attacks.apgd(linear(w), x, radius=0.1)
    assert torch.allclose(moved, (x + 0.1 * w.sign()).clamp(0, 1), atol=1e-6)
    centre = images(1, seed=9)
    nearest = attacks.apgd(lambda moved: -(moved - centre).square().sum((1, 2, 3)), x, radius=0.1)
    assert torch.allclose(nearest, torch.minimum(torch.maximum(centre, x - 0.1), x + 0.1).clamp(0, 1), atol=5e-3)
    outside = torch.where(centre > 0.5, 3.0, -2.0)  # so far away that a gradient points at the right corner
    far = attacks.apgd(lambda moved: -(moved - outside).square().sum((1, 2, 3)), x, radius=0.1)
    assert torch.allclose(far, (x + 0.1 * (outside - x).sign()).clamp(0, 1), atol=1e-6)


def exact_l2(w, x, radius):
    """Return the highest point of a linear objective in the ball and in [0, 1]: clip(x + t·w), t by bisection."""
    low, high = torch.zeros(len(x), dtype=torch.float64), torch.full((len(x),), 1e3, dtype=torch.float64)
    x, w = x.double(), w.double()
    for _ in range(100):
        t = (low + high) / 2
        fits = ((x + t[:, None, None, None] * w).clamp(0, 1) - x).flatten(1).norm(dim=1) <= radius
        low, high = torch.where(fits, t, low), torch.where(fits, high, t)
    return (x + low[:, None, None, None] * w).clamp(0, 1).float()


@pytest.mark.parametrize("radius", [0.1, 2.0])  # 2.0: many pixels are stopped by black or white
def test_apgd_finds_the_l2_optimum_of_a_linear_objective(radius):
    w = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    x, score = images(5), linear(w)
    moved = attacks.apgd(score, x, norm="l2", radius=radius)
    exact = exact_l2(w, x, radius)
    assert torch.allclose(score(moved), score(exact), rtol=1e-5)
    assert torch.allclose(moved, exact, atol=2e-3)
    assert (moved - x).flatten(1).norm(dim=1).max() <= radius + 1e-5


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_finds_at_least_what_pgd_finds_and_never_less_than_its_start(encoder, norm):
    x, radius = images(40), 0.3
    objective = latent_distance(encoder, x)
    draw = {"linf": attacks.random_linf, "l2": attacks.random_l2}[norm]
    start = draw(x, radius, torch.Generator().manual_seed(5))
    by_pgd = objective(attacks.pgd(objective, x, norm=norm, radius=radius, steps=50, start=start))
    moved = attacks.apgd(objective, x, norm=norm, radius=radius, steps=50, start=start)
    assert objective(moved).mean() >= by_pgd.mean()
    for steps in (1, 7):
        moved = attacks.apgd(objective, x, norm=norm, radius=radius, steps=steps, start=start)
        assert (objective(moved) >= objective((x + start).clamp(0, 1)) - 1e-6).all()
        size = (moved - x).flatten(1)
        assert (size.abs().amax(1) if norm == "linf" else size.norm(dim=1)).max() <= radius + 1e-6
        assert moved.min() >= 0
        assert moved.max() <= 1


def test_apgd_treats_each_image_alone(encoder):
    x, start = images(), torch.zeros(6, 1, 8, 8) + 0.01
    together = attacks.apgd(latent_distance(encoder, x), x, radius=0.2, steps=30, start=start)
    for i in range(len(x)):
        one = slice(i, i + 1)
        alone = attacks.apgd(latent_distance(encoder, x[one]), x[one], radius=0.2, steps=30, start=start[one])
        assert torch.allclose(alone, together[one], atol=1e-5)


def test_converged_images_leave_the_batch_and_nothing_else_changes():
    """A linear score, whose corner is found at once, and one with its maximum inside, around which steps go on."""
    x = images(8, shape=(2, 8, 8))
    x[:, 1] = (torch.arange(8) % 2).float()[:, None, None]  # which of the two scores an image has
    w, asked = torch.randn((8, 8), generator=torch.Generator().manual_seed(1)), []

    def score(moved):
        asked.append(len(moved))
        linear, inside = (moved[:, 0] * w).sum((1, 2)), -(moved[:, 0] - 0.5).square().sum((1, 2))
        return torch.where(moved[:, 1, 0, 0].round() == 0, linear, inside)

    for norm in ("linf", "l2"):
        settings = {"norm": norm, "radius": 0.1, "start": torch.full_like(x, 0.01)}
        plain = attacks.apgd(score, x, **settings)
        assert set(asked) == {8}
        asked.clear()
        dropped = attacks.apgd(score, x, **settings, drop_converged=True)
        assert torch.allclose(dropped, plain, atol=1e-5)
        assert min(asked) <= 4
        asked.clear()
    linear = lambda moved: (moved[:, 0] * w).sum((1, 2))  # noqa: E731
    calls = []
    attacks.apgd(lambda moved: calls.append(1) or linear(moved), x, radius=0.1, drop_converged=True)
    assert len(calls) < 10  # nothing is left to be attacked


def test_the_far_end_beats_gradients_where_black_pixels_are_reconstructed_a_little_brighter():
    """|x − r|² with x = 0 and r = 0.04: the gradient points below 0, the maximum lies at 0.1."""
    x, reconstruction = torch.zeros(3, 1, 8, 8), torch.full((3, 1, 8, 8), 0.04)
    error = lambda moved: (moved - reconstruction).square().sum((1, 2, 3))  # noqa: E731
    far = attacks.far_end(x, reconstruction, 0.1)
    assert torch.allclose(far, torch.full_like(x, 0.1))
    start = torch.full_like(x, 0.01)
    for attack in (attacks.pgd, attacks.apgd):
        assert (error(far) > error(attack(error, x, radius=0.1, steps=40, start=start)) + 1e-3).all()
    assert torch.equal(attacks.apgd(error, x, radius=0.1, start=far - x), far)  # where the gradient stays


def test_the_far_end_equals_the_best_of_all_corners_and_keeps_its_ball():
    x, reconstruction = images(4), images(4, seed=2)
    far = attacks.far_end(x, reconstruction, 0.3)
    ends = torch.stack([(x - 0.3).clamp(0), (x + 0.3).clamp(max=1)])
    assert torch.equal((far - reconstruction).abs(), (ends - reconstruction).abs().amax(0))
    away = attacks.far_end(x, reconstruction, 0.3, "l2")
    assert torch.allclose((away - x).flatten(1).norm(dim=1), torch.full((4,), 0.3), atol=1e-4)
    assert ((away - reconstruction).flatten(1).norm(dim=1) > (x - reconstruction).flatten(1).norm(dim=1)).all()


def test_the_corner_search_leaves_a_corner_at_which_the_gradient_points_outwards():
    """|x − r|² with x = 0: from black, each pixel must move to 0.1 where r < 0.05 and stay where it is above."""
    x = torch.zeros(3, 1, 8, 8)
    reconstruction = 0.1 * images(3)
    error = lambda moved: (moved - reconstruction).square().mean((1, 2, 3))  # noqa: E731
    found = attacks.corner_search(error, x, x, 0.1)
    assert torch.equal(found, attacks.far_end(x, reconstruction, 0.1))
    stuck = attacks.apgd(error, x, radius=0.1, start=torch.zeros_like(x))
    assert (error(stuck) < error(found)).all()


def test_the_corner_search_tries_one_pixel_after_the_other_where_its_estimate_errs():
    """Pixels 0 and 1 promise most, by their slopes up to 0.01, but end lower; 2 promises less, and ends higher."""
    x = torch.zeros(1, 1, 1, 8)
    first, then = torch.tensor([3.0, 2.0, 1.0] + [-1.0] * 5), torch.tensor([-2.0, -2.0, 1.0] + [-1.0] * 5)

    def objective(moved):
        start = moved.clamp(max=0.01)
        return (first * start + then * (moved - start)).sum((1, 2, 3))

    found = attacks.corner_search(objective, x, x, 0.1, steps=10)
    assert torch.equal(found, torch.tensor([0, 0, 0.1, 0, 0, 0, 0, 0]).view_as(x))


def test_the_corner_search_moves_no_pixel_that_promises_nothing():
    """A gradient of 0 everywhere: it must not find by trial what gradients do not show, or no check would warn."""
    x = images(3)
    masked = lambda moved: (moved - moved.detach()).sum((1, 2, 3)) * 0 + moved.detach().mean((1, 2, 3))  # noqa: E731
    assert torch.equal(attacks.corner_search(masked, x, x, 0.1), x)


def test_the_corner_search_tries_last_what_promises_nothing_because_of_a_kink():
    """|x − r| with x = 0 and kinks at 0.02 or 0.08: slope and mean curvature promise every pixel the same, nothing."""
    x = torch.zeros(2, 1, 8, 8)
    reconstruction = torch.where(images(2) < 0.5, 0.02, 0.08)
    found = attacks.corner_search(lambda moved: (moved - reconstruction).abs().mean((1, 2, 3)), x, x, 0.1, steps=150)
    assert torch.equal(found, attacks.far_end(x, reconstruction, 0.1))


def test_random_corners_are_tossed_for_each_pixel_each_row_or_each_column():
    x = images(300)
    corners = attacks.random_corner(x, 0.1, torch.Generator().manual_seed(0))
    lower, upper = (x - 0.1).clamp(min=0), (x + 0.1).clamp(max=1)
    assert torch.equal(corners, torch.where(corners - lower > upper - corners, upper, lower))  # at one of two ends
    up = (corners == upper)[:, 0]
    rows, columns = ((up == up[:, :1]).all((1, 2)), (up == up[:, :, :1]).all((1, 2)))
    for share in (rows.float().mean(), columns.float().mean()):
        assert abs(float(share) - 1 / 3) < 0.1
    assert abs(float(up.float().mean()) - 0.5) < 0.05


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_smoothed_ascent_finds_the_maximum_of_a_linear_objective_and_keeps_its_ball(norm, momentum):
    w = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    x, score = images(5), linear(w)
    ball = {"norm": norm, "radius": 0.1}
    moved = attacks.smoothed_ascent(score, x, momentum=momentum, **ball)
    assert torch.allclose(score(moved), score(attacks.apgd(score, x, **ball)), rtol=1e-3)
    size = (moved - x).flatten(1)
    assert (size.abs().amax(1) if norm == "linf" else size.norm(dim=1)).max() <= 0.1 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad


def test_the_smoothed_ascent_reaches_the_far_end_without_a_reconstruction():
    """|x − r|² with x = 0 and r = 0.02: the slope at 0 points below 0, the mean slope over [0, 0.1] upwards."""
    x = torch.zeros(5, 1, 8, 8)
    error = lambda moved: (moved - 0.02).square().mean((1, 2, 3))  # noqa: E731
    stuck = attacks.apgd(error, x, radius=0.1, start=torch.full_like(x, 0.01))
    found = attacks.smoothed_ascent(error, x, radius=0.1, momentum=0.9)
    assert error(stuck).max() < 0.02**2 + 1e-6
    assert error(found).min() > 0.95 * 0.08**2


def test_the_smoothed_ascent_breaks_ties_that_hold_pixels_where_they_are():
    """Minus the mean pixel over the brightest one: one of three white pixels must stay, the others must go down.

    Where they are equal, each has a third of the slope that the brightest has, which points up, out of the box.
    """
    x = torch.ones(4, 1, 1, 3)
    share = lambda moved: -moved.mean((1, 2, 3)) / moved.amax((1, 2, 3)) ** 2  # noqa: E731
    best = -(1 + 2 * 0.9) / 3
    stuck = attacks.apgd(share, x, radius=0.1, start=torch.zeros_like(x))
    found = attacks.smoothed_ascent(share, x, radius=0.1)
    assert share(stuck).max() < best - 0.03
    assert torch.allclose(share(found), torch.full((4,), best), atol=1e-3)


def test_the_corner_search_never_ends_below_its_start(encoder):
    x = images(40)
    objective = latent_distance(encoder, x)
    start = attacks.pgd(objective, x, radius=0.3, steps=10)
    found = attacks.corner_search(objective, x, start, 0.3, steps=20)
    assert (objective(found) >= objective(start)).all()
    assert (objective(found) > objective(start)).any()
    assert (found - x).abs().max() <= 0.3 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


ONES = torch.ones(2, 1, 8, 8) / 2
CALLS = {
    "corner_search": lambda objective, x, radius, **_: attacks.corner_search(objective, x, x, radius),
    "apgd": lambda objective, x, **ball: attacks.apgd(objective, x, **ball),
    "smoothed_ascent": lambda objective, x, **ball: attacks.smoothed_ascent(objective, x, **ball),
    "square": lambda objective, x, **ball: square(objective, x, **ball),
}
mean = lambda x: x.mean((1, 2, 3))  # noqa: E731


BAD = {
    "radius must be in (0, 1]; got 0.0. It is in pixel units": (mean, ONES, {"radius": 0.0}),
    "radius must be in (0, 1]; got -0.1": (mean, ONES, {"radius": -0.1}),
    "x must hold images in [0, 1]": (mean, ONES * float("nan"), {"radius": 0.1}),
    "x must hold images in [0, 1]; got Tensor": (mean, ONES * 4, {"radius": 0.1}),
    "objective must return shape (2,), one number per image": (lambda x: x.mean(), ONES, {"radius": 0.1}),
    "objective must return finite numbers": (lambda x: mean(x) / 0, ONES, {"radius": 0.1}),
    "radius must be above 0": (mean, ONES, {"radius": 0.0, "norm": "l2"}),
    "norm must be one of 'linf', 'l2'; got 'l1'": (mean, ONES, {"radius": 0.1, "norm": "l1"}),
}


@pytest.mark.parametrize("owner", CALLS)
@pytest.mark.parametrize("message", BAD)
def test_attacks_refuse_bad_input_in_one_line(owner, message):
    objective, x, ball = BAD[message]
    if owner == "corner_search" and "norm" in ball:
        pytest.skip("it knows l∞ only")
    with pytest.raises(ValueError, match=re.escape(f"{owner}: {message}")) as caught:
        CALLS[owner](objective, x, **ball)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("objective", "x", "ball", "message"),
    [
        (mean, ONES, {"radius": -0.1}, "radius must be in [0, 1]; got -0.1"),
        (mean, ONES, {"radius": 0.1, "steps": -1}, "steps must be at least 0; got -1"),
        (mean, ONES, {"radius": 0.1, "step_size": float("nan")}, "step_size must be"),
        (mean, ONES * float("nan"), {"radius": 0.1}, "x must hold images in [0, 1]"),
        (lambda x: x.mean(), ONES, {"radius": 0.1}, "objective must return shape (2,), one number per image"),
        (lambda x: mean(x.detach()), ONES, {"radius": 0.1}, "objective must be differentiable"),
    ],
)
def test_pgd_refuses_bad_input_in_one_line(objective, x, ball, message):
    with pytest.raises(ValueError, match=re.escape(f"pgd: {message}")) as caught:
        attacks.pgd(objective, x, **ball)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_that_is_no_number_is_none(norm):
    """√(x²) of a black pixel: 0 / 0. The pixel stays, and the others are attacked."""
    x = torch.full((2, 1, 4, 4), 0.5)
    x[..., 0] = 0
    start = torch.zeros_like(x)
    for attack in (attacks.pgd, attacks.apgd):
        moved = attack(lambda x: x.square().sqrt().mean((1, 2, 3)), x, norm=norm, radius=0.1, start=start)
        assert (moved[..., 0] == 0).all()
        assert (moved[..., 1:] > 0.51).all()


def test_more_bad_input_in_one_line():
    with pytest.raises(ValueError, match="apgd: objective must be differentiable; got .* `square` needs no gradient."):
        attacks.apgd(lambda x: mean(x.detach()), ONES, radius=0.1)
    with pytest.raises(TypeError, match=r"apgd: x must be a float Tensor of shape \(B, C, H, W\); got"):
        attacks.apgd(mean, ONES[0], radius=0.1)
    with pytest.raises(ValueError, match="apgd: steps must be at least 1; got 0"):
        attacks.apgd(mean, ONES, radius=0.1, steps=0)
    with pytest.raises(ValueError, match="square: queries must be at least 1; got 0"):
        square(mean, ONES, radius=0.1, queries=0)
    with pytest.raises(ValueError, match="worst_transform: degrees and shifts must hold at least one entry each"):
        attacks.worst_transform(mean, ONES, degrees=[], shifts=[(0, 0)])
    with pytest.raises(ValueError, match=r"worst_transform: objective must return shape \(2,\)"):
        attacks.worst_transform(lambda x: x.mean(), ONES, degrees=[0.0], shifts=[(0, 0)])
    with pytest.raises(ValueError, match=r"far_end: reconstruction must have shape \(2, 1, 8, 8\), as the images"):
        attacks.far_end(ONES, ONES[:1], 0.1)


# ---------------------------------------------------------------------- Square


@pytest.mark.parametrize(("norm", "radius", "enough"), [("linf", 0.1, 0.9), ("l2", 0.5, 0.4)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 16)])
def test_square_climbs_a_linear_objective_inside_its_ball(norm, radius, enough, shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    x, score = images(5, shape), linear(w)
    best = score(attacks.apgd(score, x, norm=norm, radius=radius)) - score(x)
    found, earlier = (
        square(score, x, norm=norm, radius=radius, queries=n, generator=torch.Generator().manual_seed(0))
        for n in (2000, 20)
    )
    gain = score(found) - score(x)
    assert (gain <= best + 1e-4).all()
    assert (gain > score(earlier) - score(x)).all()
    assert gain.mean() > enough * best.mean()
    size = (found - x).flatten(1)
    assert (size.abs().amax(1) if norm == "linf" else size.norm(dim=1)).max() <= radius + 1e-5
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_asks_for_values_only_and_accepts_for_each_image_alone(norm):
    """The score of an image never falls from query to query, though the images take different turns."""
    x, asked = images(20), []

    def score(moved):
        assert not torch.is_grad_enabled()
        asked.append((moved - 0.7).abs().mean((1, 2, 3)))
        return asked[-1]

    found = square(score, x, norm=norm, radius=0.2, queries=60, generator=torch.Generator().manual_seed(0))
    assert len(asked) == 60
    assert torch.equal((found - 0.7).abs().mean((1, 2, 3)), torch.stack(asked).amax(0))
    accepted = torch.stack(asked).cummax(0).values.diff(dim=0) > 0  # (59, 20)
    assert 0 < accepted.sum() < accepted.numel()
    assert (accepted != accepted[:, :1]).any()


def test_square_shrinks_on_the_paper_schedule():
    """Halved after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 % of the queries (10,000 in the paper's Sec. 4)."""
    x = torch.full((1, 1, 32, 32), 0.5)
    changed, before = [], None

    def score(moved):
        nonlocal before
        changed.append(0 if before is None else int((moved != before).sum()))
        before = before if before is not None else moved
        return torch.zeros(len(moved)) if len(changed) > 1 else torch.ones(len(moved))  # none is accepted

    square(score, x, radius=0.1, queries=1000, generator=torch.Generator().manual_seed(0))
    largest = [max(changed[a:b]) for a, b in ((1, 2), (6, 20), (101, 200), (801, 1000))]
    sides = [round((0.8 / 2**halvings * 32 * 32) ** 0.5) for halvings in (0, 2, 5, 9)]
    assert sides == [29, 14, 5, 1]
    assert all(0 < found <= side**2 for found, side in zip(largest, sides, strict=True))
    assert largest[1] > sides[2] ** 2
    assert largest[2] > sides[3] ** 2


def test_a_bump_has_length_one_and_two_signs():
    bump = black_box._bump(5, torch.zeros(1, 1, 9, 9), 4, torch.Generator().manual_seed(0))
    assert bump.shape == (4, 1, 5, 5)
    assert torch.allclose(bump.flatten(1).norm(dim=1), torch.ones(4))
    assert (bump.flatten(1).amin(1) < 0).all()
    assert (bump.flatten(1).amax(1) > 0).all()
    hill = black_box._hill(3, 3)  # the smallest rectangle is one pixel, and every larger one adds to it
    assert hill[1, 1] / hill[0, 0] == pytest.approx((1 + 1 / 4) / (1 / 4))
