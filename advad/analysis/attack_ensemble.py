"""An ensemble of attacks on a score, and what each of its members found: the worst case for each image.

Gradient attacks share one blindness or another, so none of them is an evaluation by itself. The members are APGD from
several random starts, APGD from the far end (for detectors that reconstruct, when scores are raised), APGD from where
the ascent of a smoothed objective ends, short searches of APGD from many random corners (in l∞), a corner search from
the best ends of all of these (in l∞), and Square, which needs no gradient at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advad.analysis.inputs import Score, as_pixels, as_score
from advad.attacks import apgd, corner_search, far_end, random_corner, smoothed_ascent, square
from advad.attacks.ball import interval, per_item
from advad.checks import check_choice, check_number, reject
from advad.files import read_state, to_json, write_state

APGD, FAR_END, SMOOTHED, MANY, CORNERS, SQUARE = (
    "APGD",
    "APGD from the far end",
    "APGD, smoothed start",
    "APGD, many corners",
    "corner search",
    "Square",
)
MOMENTA = (0.0, 0.9)  # of the smoothed starts: the first follows kinks, the second passes more local maxima
CORNER_STARTS = 6  # short searches from random corners, for each random start of APGD
SEARCHED = 8  # of all searches' ends, the best from which an image's corner search begins
PIXEL_UNITS = "It is in pixel units of [0, 1], so 0.1 is 10 %."
FOUND = "found by "  # before an attack's name in a file
SAME = 1e-6  # relative difference of two calls below which a score is not random: sums on a GPU may differ as much


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long the attacks of an evaluation search.

    Parameters
    ----------
    steps : int
        Gradient steps of each APGD search; of a smoothed ascent, the APGD after it, and a corner search, half as many;
        of an APGD search from a random corner, a quarter; of a last corner search from the best end, as many.
    starts : int
        Random starts of APGD; of the smoothed ascent, half as many without momentum, and half as many with it; six
        times as many random corners.
    queries : int
        Queries of Square.
    draws : int
        Draws of a random score, whose mean is attacked (expectation over transformation). Not used for other scores.
    probes : int
        Images of each class on which the checks are made that attack again.
    """

    steps: int = 100
    starts: int = 3
    queries: int = 1000
    draws: int = 20
    probes: int = 32

    def __post_init__(self):
        for name, value in vars(self).items():
            check_number("Budget", name, value, 2 if name == "draws" else 1, integer=True)


@dataclass(frozen=True)
class Target:
    """The score that is attacked.

    Attributes
    ----------
    score : callable (B, C, H, W) -> (B,)
        Higher = more anomalous. Where the detector's score is random: the mean of several draws.
    reconstruct : callable (B, C, H, W) -> (B, C, H, W), optional
        The detector's reconstruction in [0, 1].
    differentiable : bool
        Whether a gradient flows through the score.
    draws : int
        How many draws `score` averages; 1 for a score that is not random.
    """

    score: Score
    reconstruct: Callable[[Tensor], Tensor] | None
    differentiable: bool
    draws: int

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the attacks that can be run on it."""
        if not self.differentiable:
            return (SQUARE,)
        return (APGD, *([FAR_END] if self.reconstruct else []), SMOOTHED, MANY, CORNERS, SQUARE)


class WorstCase(NamedTuple):
    """The worst case that an ensemble found for each of N images.

    Attributes
    ----------
    images : Tensor of shape (N, C, H, W)
        In [0, 1]; the image itself where no attack moved its score in the wanted direction.
    before, after : Tensor of shape (N,)
        Its score unattacked and attacked.
    by_attack : dict of str to Tensor of shape (N,)
        The score that each member reached.
    """

    images: Tensor
    before: Tensor
    after: Tensor
    by_attack: dict[str, Tensor]


def target_of(owner: str, detector: Any, x: Tensor, draws: int) -> Target:
    """Return a detector, or a function of images, as something to attack.

    Parameters
    ----------
    owner : str
        Who asks; opens the messages.
    detector : detector or callable
        As in `advad.analysis.inputs.as_score`.
    x : Tensor of shape (B, C, H, W)
        A few images, on which its score is called twice: to see whether it has a gradient, and whether it is random.
    draws : int
        How many draws of a random score to average.
    """
    score = as_score(owner, detector)
    with torch.enable_grad():
        differentiable = score(x.detach().requires_grad_()).grad_fn is not None
    with torch.no_grad():
        first, second = score(x), score(x)
    draws = draws if bool(((first - second).abs() > SAME * first.abs()).any()) else 1
    reconstruct = getattr(detector, "reconstruct_tensor", None) if getattr(detector, "reconstructs", True) else None
    return Target(score if draws == 1 else _expected(score, draws), reconstruct, differentiable, draws)


def worst_case(
    target: Target,
    x: Tensor,
    sign: int,
    *,
    norm: str,
    radius: float,
    budget: Budget,
    seed: int = 0,
    batch_size: int = 256,
    start: Tensor | None = None,
    members: tuple[str, ...] | None = None,
    tick: Callable[[], Any] = lambda: None,
    folder: Path | None = None,
) -> WorstCase:
    """Return the worst that the ensemble's members find for each image.

    Parameters
    ----------
    target : Target
        The score to attack.
    x : Tensor of shape (N, C, H, W)
        In [0, 1], where the target wants them.
    sign : {1, -1}
        1 raises scores (false alarms), -1 lowers them (misses).
    norm, radius
        The ball, in pixel units.
    budget : Budget
        Length of the searches.
    seed : int
        Seed of the random starts and of Square.
    batch_size : int
        Images attacked at a time; it is halved while a GPU's memory does not suffice.
    start : Tensor of shape (N, C, H, W), optional
        Images from which one more search of APGD begins, say those that a smaller radius gave.
    members : tuple of str, optional
        Which attacks to run; all that the target allows unless given.
    tick : callable
        Called after each member on each batch.
    folder : Path, optional
        Where the results of each batch are kept: the same call goes on after the last batch that was finished.
    """
    members = members or target.members
    unfit = {FAR_END} if sign < 0 else set()  # it raises errors
    unfit |= {MANY, CORNERS} if norm != "linf" else set()  # a ball of l2 has none
    members = tuple(name for name in members if name not in unfit)
    parts: list[WorstCase] = []
    begin = 0
    while begin < len(x):
        rows = slice(begin, begin + batch_size)
        batch, first = x[rows], None if start is None else start[rows] - x[rows]
        generator = torch.Generator(x.device).manual_seed(int(seed) + begin)  # its own, so that batches can be left out
        try:
            with torch.no_grad():
                before = target.score(batch)
            settings = [sign, norm, radius, vars(budget), seed + begin, members, target.draws]
            path = None if folder is None else folder / f"{_digest(settings, batch, before, first)}.safetensors"
            worst = _read(path, batch)
            if worst is None:
                worst, ends = WorstCase(batch, before, before, {}), []
                for name in members:
                    searches = _searches(target, name, batch, sign, norm, radius, budget, generator, first, ends)
                    worst = _worse(target, name, worst, searches, sign)
                    ends += searches
                    tick()
                _write(path, worst)
            else:
                for _ in members:
                    tick()
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            batch_size = (len(batch) + 1) // 2  # the last batch can be smaller
            continue
        parts.append(worst)
        begin = rows.stop
    by_member = {name: torch.cat([part.by_attack[name] for part in parts]) for name in members}
    images, before, after = (torch.cat(column) for column in list(zip(*parts, strict=True))[:3])
    return WorstCase(images, before, after, by_member)


def _digest(settings: list[Any], *tensors: Tensor | None) -> str:
    """Return what tells one batch of one evaluation from all others; the scores stand for the detector."""
    digest = hashlib.sha256(to_json({"settings": settings}).encode())
    for tensor in tensors:
        digest.update(b"" if tensor is None else tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _write(path: Path | None, worst: WorstCase) -> None:
    if path is not None:
        scores = {f"{FOUND}{name}": values for name, values in worst.by_attack.items()}
        write_state(path, {"images": worst.images, "before": worst.before, "after": worst.after} | scores, {})


def _read(path: Path | None, x: Tensor) -> WorstCase | None:
    """Return the saved result of a batch, on the device of x; None where there is none, or a damaged one."""
    if path is None:
        return None
    try:
        tensors = {name: tensor.to(x.device) for name, tensor in read_state(path)[0].items()}
    except (FileNotFoundError, ValueError):
        return None
    by_member = {name.removeprefix(FOUND): values for name, values in tensors.items() if name.startswith(FOUND)}
    return WorstCase(tensors["images"], tensors["before"], tensors["after"], by_member)


def _worse(target: Target, name: str, worst: WorstCase, searches: list[Tensor], sign: int) -> WorstCase:
    """Return the worst case once one more member has attacked the images, in one search or several."""
    with torch.no_grad():  # anew, so that a random score is not judged by the draws which chose the image
        values = torch.stack([target.score(images) for images in searches])  # (searches, B)
    best = (sign * values).argmax(0)
    items = torch.arange(values.shape[1], device=values.device)
    images, values = torch.stack(searches)[best, items], values[best, items]
    better = sign * values > sign * worst.after
    return WorstCase(
        torch.where(better[:, None, None, None], images, worst.images),
        worst.before,
        torch.where(better, values, worst.after),
        worst.by_attack | {name: values},
    )


def attackable(
    owner: str, detector: Any, normals: Any, anomalies: Any, norm: str, budget: Any, seed: Any, batch_size: Any
) -> tuple[dict[str, Tensor], Target]:
    """Check the arguments of an evaluation; return the images of both classes, and the target of the attacks."""
    as_score(owner, detector)
    x = {
        name: as_pixels(owner, name, images, detector)
        for name, images in (("normals", normals), ("anomalies", anomalies))
    }
    if x["normals"].shape[1:] != x["anomalies"].shape[1:]:
        shape = "×".join(map(str, x["normals"].shape[1:]))
        reject(owner, "anomalies", f"hold images of shape {shape}, as the normals", x["anomalies"])
    check_choice(owner, "norm", norm, ["linf", "l2"])
    if not isinstance(budget, Budget):
        reject(owner, "budget", "be a Budget", budget, "For example Budget(steps=100).", TypeError)
    check_number(owner, "seed", seed, 0, 2**63 - 1, integer=True)
    check_number(owner, "batch_size", batch_size, 1, integer=True)
    return x, target_of(owner, detector, x["normals"][:8], budget.draws)


def scores_of(target: Target, x: Tensor, batch_size: int) -> Tensor:
    """Return the scores of images, (N,)."""
    with torch.no_grad():
        return torch.cat([target.score(batch) for batch in x.split(batch_size)])


def rising_radii(owner: str, radii: Sequence[float]) -> list[float]:
    """Return radii as a list; raise ValueError unless they rise."""
    radii = list(radii)
    if not radii or any(b <= a for a, b in zip(radii, radii[1:], strict=False)):
        reject(owner, "radii", "be rising numbers", radii, "Sort them.")
    return radii


def _searches(
    target: Target,
    name: str,
    x: Tensor,
    sign: int,
    norm: str,
    radius: float,
    budget: Budget,
    generator: torch.Generator,
    first: Tensor | None,
    ends: list[Tensor],
) -> list[Tensor]:
    """Return the images that each search of a member ends at; `ends` are those of the members before it."""
    ball: dict[str, Any] = {"norm": norm, "radius": radius, "generator": generator}
    settled = {"drop_converged": target.draws == 1}

    def objective(images: Tensor) -> Tensor:
        return sign * target.score(images)

    if name == SQUARE:
        return [square(objective, x, queries=budget.queries, **ball)]
    steps, half = budget.steps, -(-budget.steps // 2)
    if name == CORNERS:
        begins = _best(objective, ends or [x], SEARCHED)
        ends = [corner_search(objective, x, end, radius, steps=half, generator=generator) for end in begins]
        lower, upper = interval(x, radius)
        best = _best(objective, ends, 1)[0]
        corner = torch.where(best - lower > upper - best, upper, lower)  # a search may end inside, a little below one
        last = [corner_search(objective, x, end, radius, steps=steps, generator=generator) for end in (best, corner)]
        return ends + last
    starts: list[Tensor | None]
    if name == FAR_END:
        assert target.reconstruct is not None
        with torch.no_grad():
            starts = [far_end(x, target.reconstruct(x).clamp(0, 1), radius, norm) - x]
    elif name == SMOOTHED:
        steps, momenta = half, MOMENTA * -(-budget.starts // 2)
        starts = [smoothed_ascent(objective, x, momentum=m, steps=steps, **ball) - x for m in momenta]
    elif name == MANY:
        corners = [random_corner(x, radius, generator) for _ in range(CORNER_STARTS * budget.starts)]
        ends = [apgd(objective, x, steps=-(-steps // 4), start=corner - x, **settled, **ball) for corner in corners]
        moved = [((end - corner).abs() > SAME).flatten(1).any(1) for end, corner in zip(ends, corners, strict=True)]
        # a corner that the gradient does not leave was found by chance, and would hide that a gradient is masked
        return [torch.where(per_item(far, x), end, x) for far, end in zip(moved, ends, strict=True)]
    else:
        starts = [None] * budget.starts + ([] if first is None else [first])
    return [apgd(objective, x, steps=steps, start=start, **settled, **ball) for start in starts]


def _best(objective: Score, searches: list[Tensor], count: int) -> list[Tensor]:
    """Return the best of several searches' ends for each image, best first."""
    with torch.no_grad():
        order = torch.stack([objective(images) for images in searches]).argsort(0, descending=True)[:count]
    items = torch.arange(order.shape[1], device=order.device)
    return [torch.stack(searches)[which, items] for which in order]


def _expected(score: Score, draws: int) -> Score:
    """Return the mean of several draws of a random score (expectation over transformation, Athalye et al. 2018)."""
    return lambda images: torch.stack([score(images) for _ in range(draws)]).mean(0)
