"""A game: which of twelve images are anomalous? The student's hits against the detector's, at the same budget."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageColor

from advad import plots
from advad.checks import check_number, reject
from advad.environment import UNATTENDED
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ImageView, StatusText, row
from advad.explorers.scored_images import Known, LabelledImages, scores_of
from advad.plots.images import small

OWNER = "GuessingGame"
TILES, ACROSS, SIDE = 12, 6, 124  # images, images in a row where there is room, CSS pixels a side


class GuessingGame(Explorer):
    """Twelve images, some of them anomalous: the student picks as many as there are, and so does the detector.

    The detector picks those with its highest scores. Which images are shown depends on the seed and the round
    only, not on the picks or the detector.

    Parameters
    ----------
    detectors : Detector, or mapping of str to Detector
        Fitted. Of several one is chosen to play against, until the first picks are committed.
    images : array of shape (N, C, H, W) or (N, H, W)
        Test images, `uint8` or float in [0, 1].
    seed : int
        Seed of the random draw.
    budget : int
        How many of the twelve are anomalous, and may be picked.
    picks : iterable of int, or str such as "1 4 7 9"
        The student's, 1 to 12, committed at once, so that a run without a reader can replay them; empty for none.
    **known
        `is_anomaly`, without which there is no game; `labels` and `classes` if wanted, told once the truth may be
        known. See `Known`.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> game = explorers.GuessingGame(detector, split.test, is_anomaly=split.test_is_anomaly, picks="1 4 7 9")
    >>> game.summary()
    'You find 1 of 4 anomalies, the detector 4; blind picks find 1.3 on average.'
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        seed: int = 0,
        budget: int = 4,
        picks: Iterable[int] | str = (),
        **known: Unpack[Known],
    ):
        self.detectors = named(OWNER, detectors)
        self.known = LabelledImages(OWNER, images, **known)
        if self.known.truth is None:
            reject(OWNER, "is_anomaly", "tell which images are anomalous, 0 or 1 for each", None)
        self.images, self.truth, self.seed, self.budget = self.known.images, self.known.truth, seed, budget
        check_number(OWNER, "seed", seed, 0, integer=True)
        check_number(OWNER, "budget", budget, 1, TILES - 1, integer=True)
        for name, group, wanted in (("anomalous", self.truth, budget), ("normal", ~self.truth, TILES - budget)):
            if group.sum() < wanted:
                reject(OWNER, "is_anomaly", f"leave {wanted} {name} images to draw", int(group.sum()))
        self.detector_control = detector_buttons(self.detectors)
        self.results: dict[int, tuple[int, int]] = {}  # round -> hits of the student, of the detector
        super().__init__()
        if numbers := _numbers(picks):
            self._commit(self._checked(numbers))

    # ------------------------------------------------------------------ the numbers

    @property
    def detector(self) -> Any:
        """The detector that plays."""
        return self.detectors[str(self.detector_control.value)]

    def deal(self, number: int) -> None:
        """Begin a round: draw its twelve images and score them."""
        rng = np.random.default_rng([self.seed, number])
        groups = ((self.truth, self.budget), (~self.truth, TILES - self.budget))
        chosen = [rng.choice(np.flatnonzero(group), n, replace=False) for group, n in groups]
        self.round, self.shown, self.picked = number, rng.permutation(np.concatenate(chosen)), np.zeros(TILES, bool)
        self._pick_by_score()

    def _pick_by_score(self) -> None:
        """Let the detector score this round's images and pick those with its highest scores."""
        self.anomalous = self.truth[self.shown]
        self.scores = scores_of(OWNER, self.detector, self.images[self.shown])
        self.by_detector = np.isin(np.arange(TILES), np.argsort(-self.scores, kind="stable")[: self.budget])

    @property
    def committed(self) -> bool:
        """Whether the student has committed to this round's picks."""
        return self.round in self.results

    @property
    def revealed(self) -> bool:
        """Whether the truth may be shown: after the student's picks, or where nobody is there to make any."""
        return self.committed or UNATTENDED in os.environ

    @property
    def hits(self) -> tuple[int, int]:
        """Anomalies that the student and the detector have picked in this round."""
        return int((self.picked & self.anomalous).sum()), int((self.by_detector & self.anomalous).sum())

    def summary(self) -> str:
        """Return the present state in words."""
        n = self.budget
        if not self.revealed:
            return f"{n} of these {TILES} images are anomalous. Picked: {self.picked.sum()} of {n}."
        you, detector = self.hits
        text = f"You find {you} of {n} anomalies, the detector {detector}"
        if not self.committed:
            text = f"Nobody has guessed; the detector finds {detector} of {n} anomalies"
        text += f"; blind picks find {n * n / TILES:.1f} on average."
        if len(self.results) > 1:
            yours, its = np.sum(list(self.results.values()), axis=0)
            text += f" In {len(self.results)} rounds: {yours} and {its} of {n * len(self.results)}."
        return text

    def describe(self, k: int) -> str:
        """Return the text alternative of image k (from 0): what may be known of it."""
        if not self.revealed:
            return f"Image {k + 1} of {TILES}"
        pickers = [who for who, picked in (("you", self.picked[k]), ("the detector", self.by_detector[k])) if picked]
        picked = f"picked by {' and '.join(pickers)}" if pickers else "picked by nobody"
        kind = self._kind(k)
        return f"Image {k + 1} of {TILES}: {kind}, {picked}, score {self.scores[k]:.4f}"

    def _kind(self, k: int) -> str:
        """Return the truth about image k: its class where it is known, and whether it is anomalous."""
        kind = "anomalous" if self.anomalous[k] else "normal"
        names = self.known.groups.get("class")
        return kind if names is None else f"{names[self.shown[k]]}, {kind}"

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        wide = {"width": f"{SIDE}px", "margin": "2px 0 0 2px"}
        self.image_views = [ImageView() for _ in range(TILES)]
        self.buttons = [widgets.ToggleButton(layout=wide) for _ in range(TILES)]
        self.captions = [widgets.HTML(layout={"width": f"{SIDE}px", "min_height": "42px"}) for _ in range(TILES)]
        parts = zip(self.image_views, self.buttons, self.captions, strict=True)
        board = [widgets.VBox(list(part)) for part in parts]
        self.text = StatusText()
        self.commit_button = widgets.Button(description="Commit my picks", button_style="primary")
        self.next_button = widgets.Button(description="Twelve others")
        for button in self.buttons:
            button.observe(self.guarded(self.pick), "value")
        self.detector_control.observe(self.guarded(self.change_detector), "value")
        self.commit_button.on_click(self.guarded(self.commit))
        self.next_button.on_click(self.guarded(self.another))
        self.deal(0)
        self._show()
        controls = row(self.commit_button, self.next_button, *row_of_detectors(self.detector_control))
        return [self.text, row(*board), controls]

    def pick(self, change: Any) -> None:
        """Answer the button of an image; a pick beyond the budget is taken back."""
        picked = np.array([button.value for button in self.buttons])
        if picked.sum() > self.budget:
            picked[self.buttons.index(change["owner"])] = False
        self.picked = picked
        self._show_controls()

    def change_detector(self, _: Any) -> None:
        """Answer the choice of the detector to play against."""
        self.refresh()

    def refresh(self) -> None:
        """Let the detector pick, and show all anew."""
        self._pick_by_score()
        self._show()

    def commit(self, _: Any) -> None:
        """Answer the button that commits the picks."""
        self._commit(self.picked)

    def another(self, _: Any) -> None:
        """Answer the button that asks for another round."""
        self.deal(self.round + 1)
        self._show()

    def _commit(self, picked: np.ndarray) -> None:
        self.picked = picked
        self.results[self.round] = self.hits
        self._show()

    def _checked(self, picks: list[int]) -> np.ndarray:
        """Return picks, 1 to 12, as a mask."""
        if len(set(picks)) != self.budget or not set(picks) <= set(range(1, TILES + 1)):
            reject(OWNER, "picks", f"be {self.budget} different numbers from 1 to {TILES}", picks)
        return np.isin(np.arange(1, TILES + 1), picks)

    def _show(self) -> None:
        """Show the twelve images, and what may be known of them."""
        for k, (image_view, note) in enumerate(zip(self.image_views, self.captions, strict=True)):
            image_view.show(small(self.images[self.shown[k]]), self.describe(k), SIDE)
            note.value = self._note(k)
        self._show_controls()

    def _note(self, k: int) -> str:
        """Return the text below image k once the truth may be shown, with a colour and a symbol."""
        if not self.revealed:
            return ""
        mark, colour = ("◆", plots.VERMILION) if self.anomalous[k] else ("○", plots.BLUE)
        detector = f"{self.scores[k]:.4f}{' ✓ detector' if self.by_detector[k] else ''}"
        edge = f"border-left:4px {'solid' if self.anomalous[k] else 'dotted'} {colour};padding-left:6px"
        kind = html.escape(self._kind(k))
        return f'<div style="{edge};line-height:1.4"><b>{mark} {kind}</b><br>{detector}</div>'

    def _show_controls(self) -> None:
        """Show what is picked, and what can be done now."""
        is_full = int(self.picked.sum()) >= self.budget
        with self.callbacks_paused():
            for k, button in enumerate(self.buttons):
                is_picked = bool(self.picked[k])
                button.value, button.description = is_picked, self._label(k)
                button.button_style = "info" if is_picked else ""
                button.disabled = self.committed or (is_full and not is_picked)
        self.detector_control.disabled = bool(self.results)  # the hits of all rounds are one detector's
        self.commit_button.disabled = self.committed or int(self.picked.sum()) != self.budget
        self.next_button.disabled = not self.committed
        self.text.say(self.summary())

    def _label(self, k: int) -> str:
        """Return what the button of tile k says: its number, whether it is picked, and then whether rightly so."""
        if not self.picked[k]:
            return f"{k + 1}"
        right = bool(self.anomalous[k])
        verdict = f", {'right' if right else 'wrong'}" if self.committed else ""
        return f"{'✓' if right or not self.committed else '✗'} {k + 1}{verdict}"

    def to_image(self) -> Image.Image:
        """Return the twelve images with what may be known of them."""
        rows, captions = {}, {}
        for start in range(0, TILES, ACROSS):
            label, places = " " * (start // ACROSS), range(start, start + ACROSS)
            rows[label] = [self._framed(k) for k in places]
            captions[label] = [self._caption(k) for k in places]
        return plots.grid(rows, captions=captions, tile=SIDE)

    def _framed(self, k: int) -> np.ndarray:
        """Return tile k enlarged, (3, H, W) `uint8`; framed if it may be known to be anomalous."""
        pixels = np.array(small(self.images[self.shown[k]]).resize((2 * SIDE, 2 * SIDE), Image.Resampling.NEAREST))
        if self.revealed and self.anomalous[k]:
            inside = pixels[8:-8, 8:-8].copy()
            pixels[:] = ImageColor.getrgb(plots.VERMILION)
            pixels[8:-8, 8:-8] = inside
        return pixels.transpose(2, 0, 1)

    def _caption(self, k: int) -> str:
        if not self.revealed:
            return f"{k + 1}"
        pickers = [who for who, picked in (("you", self.picked[k]), ("detector", self.by_detector[k])) if picked]
        return f"{k + 1}: {self._kind(k)}\n{' + '.join(pickers) or 'nobody'}"


def _numbers(picks: Iterable[int] | str) -> list[int]:
    """Return picks as numbers."""
    try:
        return [int(pick) for pick in (picks.replace(",", " ").split() if isinstance(picks, str) else picks)]
    except ValueError:
        reject(OWNER, "picks", 'be numbers, such as "1 4 7 9"', picks)
