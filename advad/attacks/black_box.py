"""Square Attack: a random search over squares of pixels, which needs no gradient of the objective.

It is the check on attacks by gradient: where it finds more than they do, the gradient misleads (masked, or pointing out
of the box), and an evaluation by gradient alone cannot be trusted. The conventions are those of `gradient.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from advad.attacks.ball import Objective, check_attack, checked_values, into_ball
from advad.checks import check_number

FIRST_SHARE = 0.8  # p of the paper: share of the image's area that the first squares cover
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # of the queries, after which p is halved
SMALLEST_L2 = 3  # side of the smallest window in l2


@torch.no_grad()
def square(
    objective: Objective,
    x: Tensor,
    *,
    queries: int = 1000,
    norm: str = "linf",
    radius: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x + δ that raises the objective, by a random search that only asks for its values.

    In l∞, it starts from vertical stripes of ±radius; each query sets one square of pixels to ±radius, a sign for each
    channel. In l2, it starts from a tiling by bumps; each query moves the energy of one window to a bump in another.
    A change is accepted, for each image on its own, when it raises the objective. The squares shrink on a schedule.

    Parameters
    ----------
    objective : callable (B, C, H, W) -> (B,)
        The function to maximise; it need not be differentiable. The images are independent of each other.
    x : Tensor of shape (B, C, H, W)
        In [0, 1]; x + δ stays there.
    queries : int
        Calls of the objective, each for all images at once.
    norm : {"linf", "l2"}
        Norm of the ball.
    radius : float above 0
        Radius of the ball, in pixel units.
    generator : torch.Generator, optional
        Source of the random choices.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; an objective that is not finite, or of another shape than (B,).

    Source : Andriushchenko et al. 2020, Algorithms 1 to 3; its schedule is stretched to the number of queries.
    """
    check_attack("square", x, norm, radius)
    check_number("square", "queries", queries, 1, integer=True)
    first, proposal = {"linf": (_stripes, _square), "l2": (_bumps, _moved_energy)}[norm]
    best = into_ball(x, x + first(x, radius, generator), norm, radius)
    highest = checked_values("square", objective, best)
    for query in range(1, queries):
        share = FIRST_SHARE / 2 ** sum(query / queries > halving for halving in HALVINGS)
        candidate = into_ball(x, x + proposal(x, best - x, radius, share, generator), norm, radius)
        value = checked_values("square", objective, candidate)
        better = value > highest  # (B,)
        best = torch.where(better[:, None, None, None], candidate, best)
        highest = torch.where(better, value, highest)
    return best


# ---------------------------------------------------------------------- l∞


def _stripes(x: Tensor, radius: float, generator: torch.Generator | None) -> Tensor:
    """Return δ like x of vertical stripes, one pixel wide, of ±radius."""
    batch, channels, _, width = x.shape
    return (radius * _signs((batch, channels, 1, width), x, generator)).expand_as(x)


def _square(x: Tensor, delta: Tensor, radius: float, share: float, generator: torch.Generator | None) -> Tensor:
    """Return δ with one square of each image set to ±radius, a sign for each channel (Algorithm 2)."""
    side = _side(x, share, 1)
    rows, columns = _window(x, side, generator)
    height, width = x.shape[2:]
    inside = _among(rows, height)[:, None, :, None] & _among(columns, width)[:, None, None, :]  # (B, 1, H, W)
    return torch.where(inside, radius * _signs((*x.shape[:2], 1, 1), x, generator), delta)


# ---------------------------------------------------------------------- l2


def _bumps(x: Tensor, radius: float, generator: torch.Generator | None) -> Tensor:
    """Return δ like x of length radius: a tiling of about 5 × 5 bumps, a sign for each bump and channel."""
    batch, channels, height, width = x.shape
    side = min(max(height // 5, SMALLEST_L2), height, width)
    delta = torch.zeros_like(x)
    for top in range((height % side) // 2, height - side + 1, side):
        for left in range((width % side) // 2, width - side + 1, side):
            bump = _bump(side, x, batch, generator) * _signs((batch, channels, 1, 1), x, generator)
            delta[:, :, top : top + side, left : left + side] = bump
    return delta * (radius / delta.flatten(1).norm(dim=1))[:, None, None, None]


def _moved_energy(x: Tensor, delta: Tensor, radius: float, share: float, generator: torch.Generator | None) -> Tensor:
    """Return δ of length radius whose energy in one window has gone to a bump in another (Algorithm 3)."""
    side = _side(x, share, SMALLEST_L2) | 1  # odd, as in the paper
    side = min(side, *x.shape[2:])
    batch, channels = x.shape[:2]
    target, source = _window(x, side, generator), _window(x, side, generator)
    items = torch.arange(batch, device=x.device)[:, None, None]
    of_target, of_source = (
        (items, slice(None), rows[:, :, None], columns[:, None, :]) for rows, columns in (target, source)
    )
    old = delta[of_target]  # (B, side, side, C): the indexed axes come first
    emptied = delta.clone()
    emptied[of_source] = 0
    emptied[of_target] = 0
    rest = emptied.square().flatten(1).sum(1)  # (B,): energy that stays where it is
    energy = (radius**2 - rest).clamp_min(0) / channels  # for each channel of the target window
    bump = (_bump(side, x, batch, generator) * _signs((batch, channels, 1, 1), x, generator)).permute(0, 2, 3, 1)
    bump = bump + old / old.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    bump = bump / bump.flatten(1, 2).norm(dim=1).clamp_min(1e-12)[:, None, None, :]  # of length 1 in each channel
    emptied[of_target] = bump * energy.sqrt()[:, None, None, None]
    return emptied


def _bump(side: int, x: Tensor, batch: int, generator: torch.Generator | None) -> Tensor:
    """Return bumps of length 1, (B, 1, side, side): one half up, one down, lying or standing at random (Eq. 2)."""
    half = side // 2
    bump = torch.cat([_hill(half, side), -_hill(side - half, side)]).to(x)
    bump = bump / bump.norm()
    standing = torch.rand((batch, 1, 1), generator=generator, device=x.device) < 0.5
    return torch.where(standing, bump, bump.T)[:, None]


def _hill(height: int, width: int) -> Tensor:
    """Return a hill of nested rectangles, (height, width), of length 1: 1 / k² each, k = 1 the smallest."""
    hill = torch.zeros(height, width)
    middle = height // 2 + 1, width // 2 + 1
    for k in range(max(middle)):
        top, left = max(middle[0] - 1 - k, 0), max(middle[1] - 1 - k, 0)
        hill[top : middle[0] + k, left : middle[1] + k] += 1 / (k + 1) ** 2
    return hill / hill.norm().clamp_min(1e-12)


# ---------------------------------------------------------------------- l∞ and l2


def _side(x: Tensor, share: float, smallest: int) -> int:
    """Return the side of a square that covers a share of the image's area, at least `smallest`."""
    height, width = x.shape[2:]
    return min(max(round(math.sqrt(share * height * width)), smallest), height, width)


def _window(x: Tensor, side: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of a random window of each image, (B, side) each."""
    steps = torch.arange(side, device=x.device)
    return tuple(
        torch.randint(size - side + 1, (len(x), 1), generator=generator, device=x.device) + steps
        for size in x.shape[2:]
    )  # type: ignore[return-value]


def _among(indices: Tensor, size: int) -> Tensor:
    """Return which of 0 … size − 1 are among each row of indices; (B, k) -> (B, size), bool."""
    marks = torch.zeros((len(indices), size), dtype=torch.bool, device=indices.device)
    return marks.scatter(1, indices, True)


def _signs(shape: tuple[int, ...], x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return −1 and +1 at random."""
    return torch.randint(2, shape, generator=generator, device=x.device, dtype=torch.int64).to(x) * 2 - 1
