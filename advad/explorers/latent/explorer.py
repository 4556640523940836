"""An explorer of the latent space: a map of codes; images, and places between them, are decoded and scored."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from typing import Any, Self, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.latent import nearest
from advad.checks import check_choice
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ImageView, StatusText, columns, row, slider, toggle_buttons
from advad.explorers.latent.embeddings import NAMES, Map
from advad.explorers.latent.encoded_images import OWNER, EncodedImages, Probe
from advad.explorers.latent.scatter import MapFigure, looks_of, looks_of_scores, ranges
from advad.explorers.scored_images import Known, reconstructions_of
from advad.images import as_numpy
from advad.plots.charts import with_equal_decimals
from advad.plots.images import heat, image_markup, image_row, small, stack
from advad.plots.to_image import image_of

STRIP, STEPS = 11, 8  # images in a strip, steps of a path
MANY = 5000  # codes from which t-SNE or UMAP takes longer than half a minute
NOTHING = np.zeros((0, 2))
NO_SET = "–"


class LatentExplorer(Explorer):
    """A map of the images' latent codes: point, click or draw a lasso, and see the images and their scores.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`; N >= 4. A detector without `decode` can still be looked at; one without `encode` gets a map of
        pixels.
    parts : sequence of N str, optional
        Where each image comes from, such as "train" or "test".
    map : {"latent", "pca", "tsne", "umap"}, optional
        The first map; else the latent plane where codes have two numbers, else PCA.
    colour : {"class", "truth", "part", "score"}, optional
        The first colouring; else the first of these that is known.
    seed : int
        Seed of t-SNE and UMAP.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorer = explorers.LatentExplorer(detector, split.test[:50], labels=split.test_labels[:50])
    >>> explorer.summary()
    'Image 42 (class 2): score 0.07574, higher than 50% of the 50 images.'
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        parts: Sequence[str] | None = None,
        map: str | None = None,
        colour: str | None = None,
        seed: int = 0,
        **known: Unpack[Known],
    ):
        self.encoded = {
            name: EncodedImages(detector, images, parts, seed, **known)
            for name, detector in named(OWNER, detectors).items()
        }
        self.detector = detector_buttons(self.encoded)
        self.colours = [*self.set.groups, "score"]
        self._first_map = self.set.maps.methods[0] if map is None else map
        self._first_colour = self.colours[0] if colour is None else colour
        check_choice(OWNER, "map", self._first_map, self.set.maps.methods)
        check_choice(OWNER, "colour", self._first_colour, self.colours)
        super().__init__()

    @property
    def set(self) -> EncodedImages:
        """The images as the chosen detector sees them."""
        return self.encoded[str(self.detector.value)]

    @classmethod
    def of_split(cls, detectors: Any, split: Any, **settings: Any) -> Self:
        """Return the explorer of all images of a `Split`: its training, held-out and test part."""
        parts = {"train": split.train, "held out": split.holdout, "test": split.test}
        labels = [split.train_labels, split.holdout_labels, split.test_labels]
        truth = [split.train_is_anomaly, np.zeros(len(split.holdout), bool), split.test_is_anomaly]
        return cls(
            detectors,
            np.concatenate([as_numpy(images) for images in parts.values()]),
            labels=np.concatenate([as_numpy(part) for part in labels]),
            classes=split.classes,
            is_anomaly=np.concatenate([as_numpy(part) for part in truth]),
            parts=[name for name, images in parts.items() for _ in range(len(images))],
            **settings,
        )

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        self.map_buttons = toggle_buttons({NAMES[method]: method for method in self.set.maps.methods}, self._first_map)
        self.colour_buttons = toggle_buttons(self.colours, self._first_colour)
        self.figure = MapFigure(len(self.set))
        self.about, self.text, self.below_text = StatusText(), StatusText(), StatusText()
        self.image_view, self.below, self.hovered = ImageView(), ImageView(), widgets.HTML()
        self.text.layout.min_height, self.hovered.layout.min_height = "90px", "76px"
        self.picker = slider("image", len(self.set), width=322, readout=False)
        self.picker.style.description_width, self.picker.tooltip = "52px", "From the lowest score to the highest"
        box: dict[str, Any] = {"step": 0.1, "layout": {"width": "112px"}, "style": {"description_width": "14px"}}
        self.x, self.y = widgets.FloatText(description="x", **box), widgets.FloatText(description="y", **box)
        self.go_there = widgets.Button(description="Go there", layout={"width": "84px"})
        self.sets = {NO_SET: None} | self.set.sets(STRIP)
        # No drop-down list: when one has the focus, JupyterLab takes its keys for its own commands.
        wide: dict[str, Any] = {"layout": {"width": "322px"}, "style": {"description_width": "52px"}}
        self.set_slider = widgets.SelectionSlider(options=list(self.sets), description="pick out", **wide)
        self.set_slider.add_class("advad-sets")
        self.path_switch = widgets.ToggleButton(description="Path from here", layout={"width": "114px"})
        self.path_switch.tooltip = "Decode the way from here to what is chosen next"
        self.path_switch.disabled = not self.set.can_decode
        self.detector.observe(self.guarded(lambda _: self.change_detector()), "value")
        self.path_from: Probe | None = None
        self.selected: np.ndarray | None = None  # indices of the images in the lasso or the set that is picked out
        self.outline: Any = None  # of the last lasso
        self.probe = self._middle()
        self.refresh()
        self._under(self.probe)
        self._listen()
        place = widgets.HBox([self.x, self.y, self.go_there])
        side = [self.text, self.image_view, self.hovered, self.picker, self.set_slider, place, self.path_switch]
        panel = widgets.VBox(side, layout=widgets.Layout(width="326px"))
        choices = row("map", self.map_buttons, "colour", self.colour_buttons)
        choices = [choices, *row_of_detectors(self.detector)]
        return [*choices, self.about, columns(self.figure.widget, panel), self.below_text, self.below]

    def _listen(self) -> None:
        """Connect the controls and the map with their callbacks."""

        def on_value(control: Any, callback: Any) -> None:
            control.observe(self.guarded(lambda change: callback(change["new"])), "value")

        on_value(self.map_buttons, self.switch)
        on_value(self.colour_buttons, lambda _: self._draw())
        on_value(self.picker, lambda rank: self.show_image(int(self.set.order[rank])))
        on_value(self.set_slider, self.pick_out)
        on_value(self.path_switch, self.start_path)
        self.go_there.on_click(self.guarded(lambda _: self.show_place(np.array([self.x.value, self.y.value]))))
        self.figure.points.on_click(self.guarded(self.click_point))
        self.figure.points.on_hover(self.guarded(self.hover_point))
        self.figure.points.on_selection(self.guarded(self.lasso))
        self.figure.net.on_click(self.guarded(self.click_plane))
        self.figure.net.on_hover(self.guarded(self.hover_plane))

    @property
    def map(self) -> Map:
        """The present map."""
        return self.set.maps[str(self.map_buttons.value)]

    @property
    def limits(self) -> list[tuple[float, float]]:
        """The ends of both axes of the present map, before anybody zooms."""
        return ranges(self.map.points)

    def _draw(self) -> None:
        """Draw the present map in the present colours, and say how far it can be trusted."""
        kind, current = str(self.colour_buttons.value), self.map
        if kind == "score":
            low, high = np.quantile(self.set.scores, [0, 0.98])
            self.figure.draw(current, looks_of_scores(self.set.scores, self.set.truth), (float(low), float(high)))
        else:
            self.figure.draw(current, looks_of(self.set.groups[kind]), None)
        quality = f"{current.name} keeps {current.preserved:.0%} of the codes' 10 nearest neighbours."
        click = "decodes that place (all other directions at their mean)."
        if current.method == "latent":
            quality, click = "The codes themselves: what is near here is near for the detector.", "decodes that place."
        if not current.has_inverse:
            click = "shows the images nearest on the map: it has no inverse."
        elif not self.set.can_decode:
            click = "shows the images nearest on the map: this detector decodes no codes."
        self.about.say(f"{quality} A click on the empty plane {click}")

    # ------------------------------------------------------------------ what is chosen

    def summary(self) -> str:
        """Return the chosen image or place in words."""
        score, verdict = self.probe.score, self.set.verdict(self.probe.score)
        what = f"score {score:.4g}, {self.set.comparison(score)}." + (f" It is called {verdict}." if verdict else "")
        if self.probe.index is not None:
            return f"{self.set.describe(self.probe.index)}: {what}"
        x, y = self.probe.place
        return f"Decoded from ({x:.2f}, {y:.2f}): {what} Encoded again, its code is {self.probe.distance:.2g} away."

    def show_image(self, index: int) -> None:
        """Choose an image of the set."""
        self._choose(self.set.probe_image(index, self.map))

    def show_picture(self, index: int) -> None:
        """Choose an image, under the method's name before 0.2."""
        warnings.warn("explorer.show_picture() is now explorer.show_image().", FutureWarning, stacklevel=2)
        self.show_image(index)

    def show_place(self, place: np.ndarray) -> None:
        """Choose a place on the map: decode it, or, where that cannot be, show the images nearest to it."""
        if self.map.has_inverse and self.set.can_decode:
            self._choose(self.set.probe_place(place, self.map))
            return
        close = nearest(self.map.points, place, min(STRIP, len(self.set)))
        why = "this detector decodes no codes" if self.map.has_inverse else f"{self.map.name} has no inverse"
        text = f"No image belongs to the place ({place[0]:.2f}, {place[1]:.2f}): {why}. Nearest on the map"
        self._show_near(place, close, text)

    def show_set(self, indices: np.ndarray) -> None:
        """Pick out a set of images, until another image, place or set is chosen."""
        self.selected = indices
        self._show()

    def _choose(self, probe: Probe) -> None:
        """Choose an image or a place; what was picked out is no longer."""
        self._drop_selection()
        self.probe = probe
        with self.callbacks_paused():
            self.set_slider.value = NO_SET
        self._show()

    def _drop_selection(self) -> None:
        """Pick nothing out any longer."""
        if self.outline is not None:
            self.figure.clear_outline()
        self.selected = self.outline = None

    def refresh(self) -> None:
        """Show the map anew, and what is chosen on it: a set that is picked out stays so on another map."""
        self._offer_choices()
        if self.outline is not None:  # it would select other points on another map
            self.figure.clear_outline()
        self._draw()
        self.probe = self._on_this_map(self.probe)
        self._show()

    def _middle(self) -> Probe:
        """Return the image with the middle score."""
        return self.set.probe_image(int(self.set.order[len(self.set) // 2]), self.map)

    def _on_this_map(self, probe: Probe) -> Probe:
        """Return the same image or decoded code on the present map; the nearest image where it has no place."""
        if probe.index is not None:
            return self.set.probe_image(probe.index, self.map)
        if len(probe.code) != self.set.codes.shape[1]:  # another detector's
            return self._middle()
        if self.map.has_inverse and self.set.can_decode:
            return self.set.probe_place(self.map.places_of(probe.code[None])[0], self.map)
        return self.set.probe_image(int(self.set.nearest_images(probe, 1)[0]), self.map)

    def _show(self) -> None:
        """Show what is chosen beside the map, on it and below it."""
        probe = self.probe
        self.text.say(self.summary())
        self.image_view.show(self.triple(), f"Input, reconstruction, difference. {self.summary()}")
        with self.callbacks_paused():
            if probe.index is not None:
                self.picker.value = int(self.set.rank[probe.index])
            self.x.value, self.y.value = (round(float(value), 3) for value in probe.place)
        self.figure.fade(self.selected)
        if self.selected is not None:
            self._show_selected(self.selected)
        elif self.path_from is not None:
            self._show_path(self.path_from)
        else:
            close, owner = self.set.nearest_images(probe, STRIP), "image's" if probe.index is not None else "place's"
            self._show_near(probe.place, close, f"The {len(close)} images with codes nearest to this {owner}")

    def triple(self) -> Image.Image:
        """Return the chosen image, its reconstruction and their difference, the largest in yellow."""
        x = self.probe.image
        first = "input" if self.probe.index is not None else "decoded"
        if not self.set.can_reconstruct:
            return image_row([x], [first], [""])
        reconstruction = reconstructions_of(OWNER, self.set.detector, x[None])[0]
        difference = np.abs(reconstruction - x).mean(axis=0)
        captions = ["", "", f"up to {difference.max():.2f}"]
        return image_row([x, reconstruction, heat(difference)], [first, "reconstruction", "difference"], captions)

    def _under(self, probe: Probe) -> None:
        """Show what lies under the pointer."""
        x, y = probe.place
        text = self.set.describe(probe.index) if probe.index is not None else f"Decoded from ({x:.2f}, {y:.2f})"
        element, _ = image_markup(small(probe.image), f"Under the pointer: {text}", 64)
        self.hovered.value = (
            '<div class="advad-hover" style="display:flex;gap:10px;align-items:center;line-height:1.35">'
            f'<div style="width:64px;flex:none">{element}</div>'
            f"<div><b>Under the pointer</b><br><span>{html.escape(text)}</span><br>score {probe.score:.4g}</div></div>"
        )

    def _show_below(self, text: str, label: str, images: np.ndarray, scores: np.ndarray) -> None:
        """Show a text, and images with their scores."""
        self.below_summary = text
        self.below_text.say(text)
        captions = {label: with_equal_decimals(scores)}
        self.strip = plots.grid({label: images}, captions=captions)
        if len(images):
            self.below.show(self.strip, f"{text} Scores: {', '.join(captions[label])}.")
        else:
            self.below.value = ""

    def _show_near(self, place: np.ndarray, indices: np.ndarray, text: str) -> None:
        """Show the images that are nearest to what was chosen."""
        text = f"{text}{self.set.class_counts(indices)}."
        self._show_below(text, "nearest", self.set.images[indices], self.set.scores[indices])
        self.figure.mark(place, self.map.points[indices], NOTHING)

    def _show_path(self, start: Probe) -> None:
        """Decode and score the codes from the path's start to what is chosen now."""
        codes, decoded, scores = self.set.path(start, self.probe, STEPS)
        top, current = int(scores.argmax()), self.map
        text = (
            f"From {start.name} to {self.probe.name} through the latent space: the highest score, {scores[top]:.3g}, "
            f"is at step {top} of {STEPS}, {self.set.comparison(scores[top])}."
        )
        if current.has_inverse:
            self.figure.mark(self.probe.place, NOTHING, current.places_of(codes))
        else:
            text += f" {current.name} cannot show the way between."
            ends = [end.index for end in (start, self.probe) if end.index is not None]
            line = current.points[ends] if len(ends) == 2 else NOTHING  # a decoded place is nowhere on this map
            self.figure.mark(self.probe.place, NOTHING, line, dash="dot")
        self._show_below(text, "decoded", decoded, scores)

    def _show_selected(self, indices: np.ndarray) -> None:
        """Show a set's statistics, and a strip of it from its lowest to its highest score."""
        ordered = indices[np.argsort(self.set.scores[indices], kind="stable")]
        shown = ordered[np.linspace(0, len(ordered) - 1, min(STRIP, len(ordered))).round().astype(int)]
        self.figure.mark(self.probe.place, NOTHING, NOTHING)
        self._show_below(self.set.statistics(indices), "picked out", self.set.images[shown], self.set.scores[shown])

    def to_image(self) -> Image.Image:
        """Return the map with what is chosen, its images, and the strip below."""
        return stack([stack([image_of(self.figure.widget), self.triple()], across=True), self.strip])

    # ------------------------------------------------------------------ callbacks

    def switch(self, method: str) -> None:
        """Answer the choice of a map."""
        if method not in self.set.maps:
            wait = " UMAP takes some 20 s to load." if method == "umap" else ""
            wait += " This takes a minute or two." if len(self.set) >= MANY and method in ("tsne", "umap") else ""
            self.about.say(f"Laying out {len(self.set):,} codes by {NAMES[method]}, this once …{wait}")
        self.refresh()

    def change_detector(self) -> None:
        """Answer the choice of a detector: its codes, maps and scores of the same images."""
        self._drop_selection()
        self.path_from = None
        self.refresh()

    def _offer_choices(self) -> None:
        """Offer the maps, the sets and the path that the chosen detector has."""
        maps = {NAMES[method]: method for method in self.set.maps.methods}
        sets = {NO_SET: None} | self.set.sets(STRIP)
        with self.callbacks_paused():
            if dict(self.map_buttons.options) != maps:
                before = str(self.map_buttons.value)
                self.map_buttons.options = maps
                self.map_buttons.value = before if before in maps.values() else next(iter(maps.values()))
            self.sets = sets
            if list(self.set_slider.options) != list(sets):
                self.set_slider.options = list(sets)
            if self.selected is None:
                self.set_slider.value = NO_SET
            self.path_switch.value, self.path_switch.disabled = self.path_from is not None, not self.set.can_decode

    def click_point(self, _: Any, points: Any, __: Any) -> None:
        """Answer a click on a point."""
        if points.point_inds:
            self.show_image(points.point_inds[0])

    def click_plane(self, _: Any, points: Any, __: Any) -> None:
        """Answer a click beside all points."""
        if points.point_inds:
            self.show_place(np.array([points.xs[0], points.ys[0]], float))

    def hover_point(self, _: Any, points: Any, __: Any) -> None:
        """Answer the pointer over a point."""
        if points.point_inds:
            self._under(self.set.probe_image(points.point_inds[0], self.map))

    def hover_plane(self, _: Any, points: Any, __: Any) -> None:
        """Answer the pointer over the plane, where places can be decoded."""
        if points.point_inds and self.set.can_decode and self.map.has_inverse:
            self._under(self.set.probe_place(np.array([points.xs[0], points.ys[0]], float), self.map))

    def lasso(self, _: Any, points: Any, selector: Any) -> None:
        """Answer a lasso or a box."""
        outline = None if selector is None else dict(vars(selector))
        if outline in (None, self.outline):
            # The page tells that the outline is cleared, as we have asked, or that other points lie in it now that they
            # have moved. It may have faded those after we had said which.
            self.figure.fade(self.selected)
            return
        self.outline = outline
        with self.callbacks_paused():
            self.set_slider.value = NO_SET
        self.selected = np.asarray(points.point_inds, dtype=int)
        self.figure.fade(self.selected)
        self._show_selected(self.selected)

    def pick_out(self, name: str) -> None:
        """Answer the choice of a set by name."""
        self._drop_selection()
        self.selected = self.sets[name]
        self._show()

    def start_path(self, on: bool) -> None:
        """Answer the switch of the path: it starts at what is chosen now, or it ends."""
        self.path_from = self.probe if on else None
        self._drop_selection()
        if on:
            self.below_text.say("The path starts here. Choose its end: a point, a place, or another image.")
        else:
            self._show()
