"""An explorer of attacks: which image, which attack, how large a change, and the way that the attack takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from advad import attacks, plots
from advad.analysis.attack_ensemble import Target, target_of
from advad.analysis.inputs import as_pixels
from advad.checks import check_choice, check_number, reject
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ImageView, StatusText, columns, plot, row, select_slider, slider, toggle_buttons
from advad.explorers.scored_images import Known, ScoredImages, reconstructions_of
from advad.plots.images import heat, stack
from advad.plots.to_image import image_of

OWNER = "AttackExplorer"
RADII = {  # by norm, in pixel units; 0 is no attack
    "linf": (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    "l2": (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
}
NORMS = {"linf": "l∞", "l2": "l2"}
PGD, APGD, FAR_END, SQUARE = "PGD", "APGD", "far end, then APGD", "Square"
FRAMES = 20  # from the first evaluation of the score to the last
DRAWS = 20  # of a random score, whose mean is attacked
SIZE = (430, 300)  # of the plot, in CSS pixels
TILE = 88


@dataclass(frozen=True)
class AttackPath:
    """What an attack has tried on one image, in order.

    Attributes
    ----------
    images : ndarray of shape (T, C, H, W), float32 in [0, 1]
        The first is the image itself.
    scores : ndarray of shape (T,)
        The detector's score of each.
    best : ndarray of shape (T,), int
        Index of the best for the attacker until then; the last one is what the attack returns.
    """

    images: np.ndarray
    scores: np.ndarray
    best: np.ndarray


class AttackExplorer(Explorer):
    """Attack an image, and see the change, the score against the threshold and the reconstruction, frame by frame.

    It opens without an attack, at radius 0. The attacker knows the detector and its weights (PGD, APGD), or only asks
    for its scores (Square). A detector without a gradient is attacked by Square alone; one that does not reconstruct
    has no far end. One attack on one image is no evaluation: that is `advad.analysis.robustness.evaluate`.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`.
    norm : {"linf", "l2"}
        Norm that bounds the change δ.
    radii : sequence of float, rising from 0, optional
        Radii of the ball to choose from, in pixel units: the largest change of a pixel in l∞, the length of δ in l2.
    steps : int
        Gradient steps of PGD and APGD.
    queries : int
        Queries of Square.
    seed : int
        Seed of the attacks' random starts.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorer = explorers.AttackExplorer(detector, split.test[:20])
    >>> explorer.summary()
    'Image 0: PCA scores it 0.05064, higher than 15% of the 20 images. Move the radius to attack it.'
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        norm: str = "linf",
        radii: Sequence[float] | None = None,
        steps: int = 40,
        queries: int = 300,
        seed: int = 0,
        **known: Unpack[Known],
    ):
        check_choice(OWNER, "norm", norm, RADII)
        self.norm, self.radii = norm, tuple(map(float, RADII[norm] if radii is None else radii))
        if len(self.radii) < 2 or self.radii[0] != 0 or (np.diff(self.radii) <= 0).any():
            reject(OWNER, "radii", "rise from 0", radii)
        check_number(OWNER, "the last of radii", self.radii[-1], 0, 1 if norm == "linf" else np.inf, ends="(]")
        check_number(OWNER, "steps", steps, 1, integer=True)
        check_number(OWNER, "queries", queries, 1, integer=True)
        check_number(OWNER, "seed", seed, 0, 2**63 - 1, integer=True)
        self.steps, self.queries, self.seed = steps, queries, seed
        self.scored = {
            name: ScoredImages(OWNER, detector, images, **known) for name, detector in named(OWNER, detectors).items()
        }
        self.targets = {name: self._target(scored) for name, scored in self.scored.items()}
        self.detector = detector_buttons(self.scored)
        self._paths: dict[tuple[Any, ...], AttackPath] = {}
        super().__init__()

    def _target(self, scored: ScoredImages) -> Target:
        """Return what is attacked of a detector."""
        first = as_pixels(OWNER, "images", scored.images[:2], scored.detector)
        return target_of(OWNER, scored.detector, first, DRAWS)

    @property
    def set(self) -> ScoredImages:
        """The images as the chosen detector scores them."""
        return self.scored[str(self.detector.value)]

    # ------------------------------------------------------------------ the attack

    def chosen(self) -> tuple[int, str, str, float]:
        """Return what the controls say: image, attack, direction ("raise" or "lower"), radius."""
        controls: tuple[Any, ...] = (self.picker, self.attack, self.direction, self.radius)
        image, attack, direction, radius = (control.value for control in controls)
        return image, attack, direction, radius

    def path(self) -> AttackPath:
        """Return the path of the present attack; computed once for each setting of the controls."""
        image, attack, direction, radius = self.chosen()
        key = (str(self.detector.value), image, direction, *((attack, radius) if radius else ()))
        if key not in self._paths:
            self._paths[key] = self._attacked(image, attack, 1 if direction == "raise" else -1, radius)
        return self._paths[key]

    def _attacked(self, index: int, attack: str, sign: int, radius: float) -> AttackPath:
        """Return the path of an attack: all images whose score it has asked for."""
        target = self.targets[str(self.detector.value)]
        x = as_pixels(OWNER, "images", self.set.images[index : index + 1], self.set.detector)
        images, values = [], []

        def objective(moved: Tensor) -> Tensor:
            value = sign * target.score(moved)
            images.append(moved.detach().cpu().numpy()[0])
            values.append(float(value.detach()[0]))
            return value

        with torch.no_grad():
            objective(x)
        if radius:
            generator = torch.Generator(x.device).manual_seed(int(self.seed))
            ball = {"norm": self.norm, "radius": radius, "generator": generator}
            with torch.enable_grad():  # an earlier cell may have switched it off
                self._run(attack, objective, x, target, ball)
        highest = np.maximum.accumulate(values)
        is_new = np.append(True, highest[1:] > highest[:-1])
        best = np.maximum.accumulate(np.where(is_new, np.arange(len(values)), 0))
        return AttackPath(np.stack(images).astype(np.float32), sign * np.array(values), best)

    def _run(
        self, attack: str, objective: Callable[[Tensor], Tensor], x: Tensor, target: Target, ball: dict[str, Any]
    ) -> None:
        """Run an attack on one image, (1, C, H, W); the objective notes what it tries."""
        if attack == SQUARE:
            attacks.square(objective, x, queries=self.queries, **ball)
        elif attack == PGD:
            attacks.pgd(objective, x, steps=self.steps, **ball)
        else:
            start = None
            if attack == FAR_END:
                assert target.reconstruct is not None
                with torch.no_grad():
                    reconstruction = target.reconstruct(x).clamp(0, 1)
                start = attacks.far_end(x, reconstruction, ball["radius"], self.norm) - x
            attacks.apgd(objective, x, steps=self.steps, start=start, **ball)

    def _attack_names(self) -> list[str]:
        """Return the attacks that the chosen detector and direction allow."""
        target = self.targets[str(self.detector.value)]
        if not target.differentiable:
            return [SQUARE]
        has_far_end = target.reconstruct is not None and self.direction.value == "raise"
        return [PGD, APGD, *([FAR_END] if has_far_end else []), SQUARE]

    def shown(self) -> tuple[np.ndarray, float, int]:
        """Return the best image until the present frame, (C, H, W), its score, and the evaluation of that frame."""
        path = self.path()
        evaluation = round(self.frame.value / FRAMES * (len(path.scores) - 1))
        best = path.best[evaluation]
        return path.images[best], float(path.scores[best]), evaluation

    def summary(self) -> str:
        """Return the present state in words."""
        index, attack, direction, radius = self.chosen()
        path, (_, after, evaluation) = self.path(), self.shown()
        before, last = float(path.scores[0]), len(path.scores) - 1
        text = (
            f"{self.set.describe(index)}: {self.detector.value} scores it {before:.4g}, {self.set.comparison(before)}."
        )
        verdict, was = self.set.verdict(after), self.set.verdict(before)
        if radius == 0:
            called = f" It is called {was}." if was else ""
            return f"{text}{called} Move the radius to attack it."
        when = "" if evaluation == last else f" after {evaluation} of {last} evaluations"
        if after == before:
            text += f" {attack} has found no higher score{when}." if direction == "raise" else ""
            text += f" {attack} has found no lower score{when}." if direction == "lower" else ""
        else:
            text += (
                f" {attack} {direction}s that to {after:.4g}{when}, {self.set.comparison(after)}; "
                f"the change is at most {radius:g} in {NORMS[self.norm]}."
            )
        return text + (f" It is {'still' if verdict == was else 'now'} called {verdict}." if verdict else "")

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        self.picker = slider("image", len(self.set), width=300)
        self.direction = toggle_buttons({"raise the score": "raise", "lower the score": "lower"}, "raise")
        self.attack = toggle_buttons([SQUARE], SQUARE)
        self.attack.options = self._attack_names()
        self.attack.value = self._attack_names()[0]
        self.radius = select_slider("radius", {f"{radius:g}": radius for radius in self.radii}, 0.0, width=300)
        self.frame = slider("frame", FRAMES + 1, FRAMES, width=300)
        self.play = widgets.Play(min=0, max=FRAMES, value=FRAMES, interval=250, show_repeat=False)
        self.link = widgets.jslink((self.play, "value"), (self.frame, "value"))
        self.text, self.image_view = StatusText(), ImageView()
        self.text.layout.min_height = "2.9em"
        self.plot = plot(self._figure(), *SIZE, margin={"l": 64, "r": 12, "t": 60, "b": 46})
        self.refresh()
        for control in (self.picker, self.detector, self.direction, self.attack, self.radius):
            control.observe(self.guarded(self.change_attack), "value")
        self.frame.observe(self.guarded(self.move), "value")
        return [
            row(self.picker, *row_of_detectors(self.detector), self.direction),
            row("attack", self.attack, self.radius),
            row(self.frame, self.play),
            self.text,
            columns(self.image_view, self.plot),
        ]

    def _figure(self) -> Any:
        """Return the plot of the scores over the evaluations, still empty."""
        figure: Any = plots.curves(
            [0],
            {"tried": [0], "best so far": [0]},
            title="Score during the attack",
            x_title="evaluations of the score",
            y_title="anomaly score",
        )
        tried, best = figure.data
        tried.update(mode="markers", marker={"symbol": "circle", "size": 4, "color": plots.SKY})
        best.update(mode="lines", line={"color": plots.VERMILION, "dash": "solid", "width": 2, "shape": "hv"})
        star = {"symbol": "star", "size": 15, "color": plots.YELLOW, "line": {"width": 1.5, "color": plots.INK}}
        figure.add_scatter(x=[0], y=[0], mode="markers", name="shown", marker=star, cliponaxis=False)
        plots.mark_line(figure, "threshold", y=0)
        figure.update_layout(legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"})
        figure.update_layout(title={"y": 1, "yanchor": "top", "yref": "container", "pad": {"t": 8}})
        return figure

    def change_attack(self, _: Any) -> None:
        """Answer the choice of an image, a detector, an attack or a radius: the path's end is shown."""
        with self.callbacks_paused():
            self.frame.value = FRAMES
        self.refresh()

    def move(self, _: Any) -> None:
        """Answer the choice of a frame."""
        self._show()

    def refresh(self) -> None:
        """Attack anew, and show the path and the present frame."""
        names = self._attack_names()
        if list(self.attack.options) != names:
            before = str(self.attack.value)
            with self.callbacks_paused():
                self.attack.options = names
                self.attack.value = before if before in names else names[0]
        path, threshold = self.path(), self.set.threshold
        evaluations = np.arange(len(path.scores))
        with self.plot.batch_update():
            tried, best, _ = self.plot.data
            tried.x, tried.y = evaluations, path.scores
            best.x, best.y = evaluations, path.scores[path.best]
            line = self.plot.layout.shapes[0]
            line.visible = threshold is not None
            line.y0 = line.y1 = threshold or 0
        self._show()

    def _show(self) -> None:
        """Show the present frame."""
        _, score, evaluation = self.shown()
        with self.plot.batch_update():
            self.plot.data[-1].x, self.plot.data[-1].y = [evaluation], [score]
        self.text.say(self.summary())
        alt = "The image as it is and attacked, the amplified change, and what is reconstructed of both"
        if not self.set.can_reconstruct:
            alt = "The image as it is and attacked, and the amplified change"
        self.image_view.show(self.table(), f"{alt}. {self.summary()}")

    def table(self) -> Image.Image:
        """Return the image as it is and attacked, δ amplified, the reconstructions and their differences."""
        path, (attacked, after, _) = self.path(), self.shown()
        clean, before = path.images[0], float(path.scores[0])
        delta = attacked - clean
        top = float(np.abs(path.images[path.best[-1]] - clean).max())  # of the last frame: one scale for all frames
        rows: dict[str, list[np.ndarray | None]] = {"as it is": [clean, None], "attacked": [attacked, None]}
        rows["attacked"][1] = 0.5 + delta / (2 * top or 1)
        captions = {
            "as it is": [f"score {before:.4g}", ""],
            "attacked": [f"score {after:.4g}", f"{0.5 / top:.1f}-fold" if top else "none"],
        }
        names = ["image", "change"]
        if self.set.can_reconstruct:
            names += ["reconstruction", "difference"]
            pair = np.stack([clean, attacked])
            made = reconstructions_of(OWNER, self.set.detector, pair)
            errors = np.abs(made - pair).mean(axis=1)  # (2, H, W)
            for k, label in enumerate(rows):
                rows[label] += [made[k], heat(errors[k], float(errors.max()))]
                captions[label] += ["", f"up to {errors[k].max():.2f}"]
        return plots.grid(rows, columns=names, captions=captions, tile=TILE)

    def to_image(self) -> Image.Image:
        """Return the images beside the scores during the attack."""
        return stack([self.table(), image_of(self.plot)], across=True)
