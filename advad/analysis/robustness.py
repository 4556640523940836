"""Attacks on what a detector says: images moved a little, so that their scores rise or fall as far as they can.

`attack_scores` and `attack_curve` run one attack. `evaluate` runs an ensemble, checks it, and says whether its result
may be called a robust AUROC. An analysis knows no engine, and an attack needs its gradient ascent; so it stands here,
above both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from advad.analysis.attack_checks import Check, attack_checks, random_score
from advad.analysis.attack_ensemble import (
    PIXEL_UNITS,
    Budget,
    WorstCase,
    attackable,
    rising_radii,
    scores_of,
    worst_case,
)
from advad.analysis.inputs import Score, as_pixels, as_score
from advad.analysis.metrics import Interval, auroc, auroc_between
from advad.attacks import apgd, pgd
from advad.checks import as_images, check_choice, check_number, reject
from advad.files import expanded
from advad.images import as_float
from advad.progress import progress_bar

NO_GRADIENT = "Attack another detector, and show its images to this one."
SIGNS = {"raise": {"normals": 1}, "lower": {"anomalies": -1}, "both": {"normals": 1, "anomalies": -1}}


class Attacked(NamedTuple):
    """Images after an attack, and what the attacked detector says of them.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
    before, after : ndarray of shape (N,), float32
        The score of each image before the attack and after it; higher = more anomalous.
    """

    images: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def above(self, threshold: float) -> tuple[float, float]:
        """Return the share of the images whose score lies above a threshold, before the attack and after it."""
        return float((self.before > threshold).mean()), float((self.after > threshold).mean())


def attack_scores(
    detector: Any,
    images: ArrayLike | Tensor,
    *,
    radius: float,
    goal: str = "raise",
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    start: ArrayLike | Tensor | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> Attacked:
    """Move each image within a ball so that its score rises (a false alarm) or falls (a miss): max ±A(x + δ).

    APGD, which chooses its steps itself (`advad.attacks.apgd`), or projected gradient descent with a fixed step
    (`advad.attacks.pgd`) where a step size is given. The attacker knows the detector and its weights. No image
    ends worse for the attacker than it began, nor than where its search started. One attack is a lower bound on the
    harm; to measure robustness, see `evaluate`.

    Parameters
    ----------
    detector : detector or callable
        A detector with `score_tensor`; or a differentiable function from a float Tensor (B, C, H, W) in [0, 1]
        to B scores, higher = more anomalous, each of its own image alone.
    images : array-like of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    radius : float
        Radius of the ball, in pixel units of [0, 1]: in l∞ the largest change of a pixel, in l2 the length of δ.
    goal : {"raise", "lower"}
        Direction of the attack: the scores rise or fall.
    norm : {"linf", "l2"}
        Norm that bounds δ.
    steps : int
        Gradient steps; a single one is no test of a detector.
    step_size : float, optional
        Size of each step, in pixel units: then the attack is PGD. Papers often take 2.5 · radius / steps.
    restarts : int
        Number of searches, of which the best result is returned. Each begins at a random point of the ball.
    start : array-like like images, optional
        Where the first search begins instead, say the images that a smaller radius gave; moved into the ball first.
    seed : int
        Seed of the random starts.
    batch_size : int
        Maximum number of images in one call.

    Returns
    -------
    Attacked

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a score that is not finite, or through which no gradient flows.

    Source : Croce and Hein 2020, Alg. 1; PGD: Madry et al. 2018, Sec. 2.1; on normal images and the reconstruction
    error: Salehi et al. 2020, Table 5.
    """
    owner = "attack_scores"
    score = as_score(owner, detector)
    if not (hasattr(detector, "score_tensor") or callable(detector)):
        reject(owner, "detector", "have a score_tensor", detector, NO_GRADIENT, TypeError)
    x = as_pixels(owner, "images", images, detector)  # (N, C, H, W)
    check_choice(owner, "goal", goal, ["raise", "lower"])
    check_choice(owner, "norm", norm, ["linf", "l2"])
    check_number(owner, "radius", radius, 0, 1 if norm == "linf" else float("inf"), remedy=PIXEL_UNITS)
    if step_size is not None:
        check_number(owner, "step_size", step_size, 0, ends="()", remedy=PIXEL_UNITS)
    check_number(owner, "steps", steps, 1, integer=True)
    check_number(owner, "restarts", restarts, 1, integer=True)
    check_number(owner, "seed", seed, 0, 2**63 - 1, integer=True)
    check_number(owner, "batch_size", batch_size, 1, integer=True)
    first = _first_change(owner, start, x)
    sign = 1 if goal == "raise" else -1
    generator = torch.Generator(x.device).manual_seed(int(seed))
    attack = apgd if step_size is None else pgd
    searches = {"norm": norm, "radius": radius, "steps": steps, "generator": generator}
    searches |= {} if step_size is None else {"step_size": step_size}
    parts = []
    for begin in range(0, len(x), batch_size):
        batch = x[begin : begin + batch_size]
        before = best = _differentiable(owner, score, batch)
        images_best = batch
        for search in range(restarts if radius else 0):
            delta = first[begin : begin + batch_size] if first is not None and search == 0 else None
            with torch.enable_grad():  # a caller may be inside no_grad
                moved = attack(lambda images: sign * score(images), batch, start=delta, **searches)
            with torch.no_grad():
                after = score(moved)
            better = sign * after > sign * best  # (B,)
            images_best = torch.where(better[:, None, None, None], moved, images_best)
            best = torch.where(better, after, best)
        parts.append([part.float().cpu().numpy() for part in (images_best, before, best)])
    return Attacked(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def attack_curve(detector: Any, images: ArrayLike | Tensor, radii: Sequence[float], **settings: Any) -> list[Attacked]:
    """Attack images at several radii, each search beginning where that of the radius before it ended.

    So a larger radius never does less harm to an image than a smaller one.

    Parameters
    ----------
    detector, images
        As in `attack_scores`.
    radii : sequence of float
        In rising order.
    **settings
        Further arguments of `attack_scores`; `start` is where the first search begins.

    Returns
    -------
    list of Attacked
        One per radius.

    Raises
    ------
    TypeError, ValueError
        As in `attack_scores`; radii that do not rise.
    """
    curve = []
    for radius in rising_radii("attack_curve", radii):
        curve.append(attack_scores(detector, images, radius=radius, **settings))
        settings["start"] = curve[-1].images
    return curve


def auroc_curve(
    curve: Iterable[Attacked], others: ArrayLike, *, goal: str = "raise", n: int = 1000, seed: int = 0
) -> list[Interval]:
    """Return the AUROC without an attack, and then under each of several, with bootstrap intervals.

    Parameters
    ----------
    curve : iterable of Attacked
        The same images under different attacks, such as `attack_curve` returns: at least one.
    others : array-like of shape (M,)
        Scores of the images that nobody attacks: anomalies where the goal is to raise scores, else normal images.
    goal : {"raise", "lower"}
        As in `attack_scores`: normal images were attacked, so that they raise false alarms; or anomalies, so that they
        pass.
    n, seed : int
        As in `advad.bootstrap`.

    Returns
    -------
    list of Interval
        One more than there are attacks.

    Raises
    ------
    ValueError
        No attack, or another goal.

    Examples
    --------
    >>> before, after = np.array([0.1, 0.2]), np.array([0.4, 0.2])
    >>> curve = auroc_curve([Attacked(np.zeros((2, 1, 1, 1)), before, after)], [0.3, 0.5], n=10)
    >>> [point.value for point in curve]
    [1.0, 0.75]
    """
    check_choice("auroc_curve", "goal", goal, ["raise", "lower"])
    attacks = list(curve)
    if not attacks:
        reject("auroc_curve", "curve", "hold at least one attack", attacks)
    scores = [attacks[0].before, *(attack.after for attack in attacks)]
    groups = [(each, others) if goal == "raise" else (others, each) for each in scores]  # normal images first
    return [auroc_between(*pair, n=n, seed=seed) for pair in groups]


@dataclass(frozen=True)
class Robustness:
    """The result of an ensemble of attacks on a detector, with checks of how far to trust it. Print it.

    Attributes
    ----------
    norm : {"linf", "l2"}
    radius : float
        In pixel units.
    direction : {"raise", "lower", "both"}
        Which images were attacked: normals, whose scores rise; anomalies, whose scores fall; or both.
    budget : Budget
        How long the attacks searched.
    is_anomaly : ndarray of shape (N,), bool
        The normals come first.
    attacked : ndarray of shape (N,), bool
        Which images were attacked; the others are as they were given.
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
        The worst image that was found for each.
    before, after : ndarray of shape (N,), float32
        The score of each image unattacked and attacked; higher = more anomalous.
    by_attack : dict of str to ndarray of shape (N,), float32
        The score that each attack reached; NaN where it was not run.
    checks : dict of str to Check
        By "normals: zero gradients" and the like.
    differentiable : bool
        Whether gradient attacks were possible.
    draws : int
        Draws of a random score that were averaged; 1 = the score is not random.
    """

    norm: str
    radius: float
    direction: str
    budget: Budget
    is_anomaly: np.ndarray
    attacked: np.ndarray
    images: np.ndarray
    before: np.ndarray
    after: np.ndarray
    by_attack: dict[str, np.ndarray]
    checks: dict[str, Check]
    differentiable: bool
    draws: int

    @property
    def auroc_before(self) -> float:
        """AUROC without an attack."""
        return auroc(self.is_anomaly, self.before)

    @property
    def auroc(self) -> float:
        """AUROC under the worst case of the ensemble, for each image."""
        return auroc(self.is_anomaly, self.after)

    @property
    def gain(self) -> np.ndarray:
        """How far each attacked image's score moved in the attacker's direction, ndarray of shape (n attacked,)."""
        return np.abs(self.after - self.before)[self.attacked]

    @property
    def warnings(self) -> list[str]:
        """One sentence for each check that warns."""
        return [f"{name}: {check.text}" for name, check in self.checks.items() if check.warns]

    @property
    def is_robust_auroc(self) -> bool:
        """Whether the AUROC may be called robust: gradient attacks were possible, and no check forbids it."""
        return self.differentiable and not any(check.warns and check.blocks for check in self.checks.values())

    @property
    def verdict(self) -> str:
        """One sentence that says what the AUROC may be called."""
        norm = {"linf": "l∞", "l2": "l2"}[self.norm]
        figure = f"AUROC {self.auroc:.3f} (unattacked {self.auroc_before:.3f}; {norm}, radius {self.radius:g})"
        if self.is_robust_auroc:
            expected = f", in the mean of {self.draws} draws" if self.draws > 1 else ""
            return f"{figure} may be called a robust AUROC{expected}: no check found the attacks too weak."
        if not self.differentiable:
            return f"{figure} is not a robust AUROC, only an upper bound: without a gradient, Square alone was run."
        names = ", ".join(name for name, check in self.checks.items() if check.warns and check.blocks)
        return f"{figure} must not be called a robust AUROC, it is an upper bound. Checks that warn: {names}."

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each attack: its name, its mean gain, and the share of images where it is the best.

        An image counts for each attack that comes within a millionth of the best gain. A negative gain moved a score in
        the wrong direction.
        """
        sign = np.where(self.is_anomaly, -1, 1)
        best = sign * (self.after - self.before)
        rows = []
        for name, scores in self.by_attack.items():
            run = np.isfinite(scores)
            gain = (sign * (scores - self.before))[run]
            share = (gain >= best[run] - 1e-6 * np.abs(best[run])).mean()
            rows.append({"attack": name, "mean_gain": float(gain.mean()), "best_on": float(share)})
        return [*rows, {"attack": "ensemble", "mean_gain": float(best[self.attacked].mean()), "best_on": 1.0}]

    def __str__(self) -> str:
        rows = [f"{row['attack']:22} {row['mean_gain']:10.4g} {row['best_on']:8.0%}" for row in self.table()]
        return "\n".join([f"{'attack':22} {'mean gain':>10} {'best on':>8}", *rows, *self.warnings, self.verdict])


def evaluate(
    detector: Any,
    normals: ArrayLike | Tensor,
    anomalies: ArrayLike | Tensor,
    radius: float,
    direction: str = "raise",
    *,
    norm: str = "linf",
    budget: Budget | None = None,
    seed: int = 0,
    batch_size: int = 256,
    progress: bool = True,
    folder: str | Path | None = None,
) -> Robustness:
    """Return the worst case of an ensemble of attacks for each image, and checks on whether it was strong enough.

    The ensemble: APGD from several starts, from the far end where a detector reconstructs and scores are raised, and
    from where the ascent of a smoothed objective ends; in l∞ also short searches from many random corners, and a corner
    search from the best of these ends; and Square. A detector without a gradient (a classical one) is attacked by
    Square alone. A random score is attacked in the mean of several draws.

    Parameters
    ----------
    detector : detector or callable
        A detector; or a function from a float Tensor (B, C, H, W) in [0, 1] to B scores, higher = more anomalous, each
        of its own image alone.
    normals, anomalies : array-like of shape (N, C, H, W) or (N, H, W)
        Test images; `uint8`, or float in [0, 1].
    radius : float above 0
        Radius of the ball, in pixel units of [0, 1].
    direction : {"raise", "lower", "both"}
        Attack normals, so that they raise false alarms; anomalies, so that they pass; or both.
    norm : {"linf", "l2"}
        Norm of the ball.
    budget : Budget, optional
        How long the attacks search.
    seed : int
        Seed of the random starts and of Square.
    batch_size : int
        Images attacked at a time; it is halved while a GPU's memory does not suffice.
    progress : bool
        Whether to show a progress bar.
    folder : path, optional
        Where the results of finished batches are kept, so that an evaluation that was broken off goes on there when it
        is called again, and ends as if undisturbed. A random score is attacked anew.

    Returns
    -------
    Robustness

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a score that is not finite, or not one number per image.

    Source : Croce and Hein 2020, Sec. 5 (an ensemble, judged for each image).
    """
    owner = "evaluate"
    budget = budget or Budget()
    x, target = attackable(owner, detector, normals, anomalies, norm, budget, seed, batch_size)
    check_number(owner, "radius", radius, 0, 1 if norm == "linf" else float("inf"), ends="(]", remedy=PIXEL_UNITS)
    check_choice(owner, "direction", direction, list(SIGNS))
    settings: dict[str, Any] = {
        "norm": norm,
        "radius": radius,
        "budget": budget,
        "seed": seed,
        "batch_size": batch_size,
        "folder": None if folder is None else expanded(folder),
    }
    signs = SIGNS[direction]
    batches = sum(-(-len(x[name]) // batch_size) * len(target.members) for name in signs)
    worst_cases: dict[str, WorstCase] = {}
    with progress_bar(total=batches + len(signs), desc="attacks", disable=not progress, unit="attack") as bar:
        for name, images in x.items():
            if name in signs:
                worst_cases[name] = worst_case(target, images, signs[name], tick=bar.update, **settings)
            else:
                scores = scores_of(target, images, batch_size)
                worst_cases[name] = WorstCase(images, scores, scores, {})
        checks = {"random score": random_score(target)}
        for name, sign in signs.items():
            # An attacker without a bound can show an image of the other class, so its score can be reached.
            others = worst_cases["anomalies" if name == "normals" else "normals"].before
            extreme = float(others.max() if sign > 0 else others.min())
            results = attack_checks(target, x[name], worst_cases[name], sign, extreme=extreme, **settings)
            checks |= {f"{name}, {check.name}": check for check in results}
            bar.update()
    worst = list(worst_cases.values())
    columns = {key: _joined([getattr(case, key) for case in worst]) for key in ("images", "before", "after")}
    by_attack = {}
    for attack in target.members:
        values = [case.by_attack.get(attack, torch.full_like(case.before, float("nan"))) for case in worst]
        by_attack[attack] = _joined(values)
    by_attack = {attack: values for attack, values in by_attack.items() if np.isfinite(values).any()}
    is_anomaly = np.repeat([False, True], [len(x["normals"]), len(x["anomalies"])])
    attacked = np.repeat(["normals" in signs, "anomalies" in signs], [len(x["normals"]), len(x["anomalies"])])
    return Robustness(
        norm=norm,
        radius=radius,
        direction=direction,
        budget=budget,
        is_anomaly=is_anomaly,
        attacked=attacked,
        by_attack=by_attack,
        checks=checks,
        differentiable=target.differentiable,
        draws=target.draws,
        **columns,
    )


class RobustAuroc(NamedTuple):
    """AUROC unattacked, under one attack as papers report it, and under the ensemble.

    Attributes
    ----------
    auroc : float
        Without an attack.
    auroc_attacked : float
        Under PGD with steps of a fixed size, from one random start.
    auroc_robust : float
        Under the worst case of the ensemble and of PGD, for each image.
    evaluation : Robustness
        The ensemble's evaluation; its `verdict` says whether `auroc_robust` deserves its name.
    scores_attacked, scores_robust : ndarray of shape (N,), float32
        The scores behind the two; the normals come first, as in `evaluation.is_anomaly`.
    """

    auroc: float
    auroc_attacked: float
    auroc_robust: float
    evaluation: Robustness
    scores_attacked: np.ndarray
    scores_robust: np.ndarray


def robust_auroc(
    detector: Any,
    normals: ArrayLike | Tensor,
    anomalies: ArrayLike | Tensor,
    radius: float,
    *,
    pgd_steps: int = 40,
    seed: int = 0,
    **settings: Any,
) -> RobustAuroc:
    """Return the metrics `auroc_attacked` and `auroc_robust`: normals attacked, as in Table 5 of the ARAE paper.

    Parameters
    ----------
    detector, normals, anomalies, radius
        As in `evaluate`; the ball is that of l∞.
    pgd_steps : int
        Steps of PGD, each of 2.5 · radius / pgd_steps. The default is that of ARAE's released code.
    seed : int
        Seed of the random starts.
    **settings
        `budget`, `batch_size`, `progress` and `folder` of `evaluate`.

    Returns
    -------
    RobustAuroc

    Raises
    ------
    TypeError, ValueError
        As in `evaluate`; a score without a gradient, since PGD needs one.

    Source : Salehi et al. 2020, Table 5.
    """
    evaluation = evaluate(detector, normals, anomalies, radius, seed=seed, **settings)
    step_size = 2.5 * radius / pgd_steps
    by_pgd = attack_scores(detector, normals, radius=radius, steps=pgd_steps, step_size=step_size, seed=seed).after
    unattacked = evaluation.before[len(by_pgd) :]  # the anomalies
    attacked = np.concatenate([by_pgd, unattacked])
    worst = np.maximum(attacked, evaluation.after)
    is_anomaly = evaluation.is_anomaly
    attacked_auroc, robust = auroc(is_anomaly, attacked), auroc(is_anomaly, worst)
    return RobustAuroc(evaluation.auroc_before, attacked_auroc, robust, evaluation, attacked, worst)


def _joined(parts: list[Tensor]) -> np.ndarray:
    """Return tensors, one after the other, as one float32 array."""
    return torch.cat(parts).float().cpu().numpy()


def _first_change(owner: str, start: ArrayLike | Tensor | None, x: Tensor) -> Tensor | None:
    """Return where the first search begins, less the images; None for a random point."""
    if start is None:
        return None
    images = as_images(owner, start, name="start").to(x.device)
    if images.shape != x.shape:
        reject(owner, "start", f"have shape {tuple(x.shape)}, as the images", images)
    return as_float(images) - x


def _differentiable(owner: str, score: Score, x: Tensor) -> Tensor:
    """Return the scores of x, (B,), detached, once it is seen that they can be differentiated."""
    with torch.enable_grad():
        scores = score(x.detach().requires_grad_())
    if scores.grad_fn is None:
        reject(owner, "detector", "have a score that can be differentiated", scores.detach(), NO_GRADIENT)
    return scores.detach()
