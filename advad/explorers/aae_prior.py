"""An explorer of the adversarial prior of an AAE: where its strength puts the codes of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from advad import plots
from advad.analysis.inputs import as_numbers
from advad.analysis.latent import origin_distance
from advad.analysis.metrics import auroc
from advad.checks import as_labels, reject
from advad.explorers.base import Explorer
from advad.explorers.controls import StatusText, columns, plot, row, select_slider, toggle_buttons
from advad.images import as_numpy
from advad.plots.images import stack
from advad.plots.to_image import image_of

OWNER = "AAEPriorExplorer"
SIZE = (440, 380)  # of each plot, in CSS pixels
OUTSIDE, INSIDE = 0.6, 0.4  # AUROC of the distance from the origin
RADIUS = 2.146  # holds nine tenths of a standard Gaussian on a plane: √(2 ln 10)
EDGE = 5  # of both plots
BINS = np.linspace(0, EDGE, 26)


def side_of(value: float) -> str:
    """Return where a class lies by the AUROC of its distance from the origin: "outside", "inside" or "neither"."""
    return "outside" if value > OUTSIDE else "inside" if value < INSIDE else "neither"


class AAEPriorExplorer(Explorer):
    """Choose how strongly an AAE is trained towards its prior, and see where each group lies in the latent plane.

    Parameters
    ----------
    codes : mapping of str to sequence of ndarray of shape (N, 2)
        For each variant (such as a place of batch normalisation) the codes of the same images, one array a strength.
    strengths : sequence of float, rising
        Learning rates of the adversarial training towards the prior.
    groups : mapping of str to ndarray of shape (N,), bool
        Members of each group; the first group is normal, the last one is compared with it.

    Examples
    --------
    >>> import numpy as np
    >>> from advad import explorers
    >>> inside, outside = np.full((10, 2), 0.1), np.full((10, 2), 2.0)
    >>> codes = {"weak game": [np.concatenate([outside, inside])], "strong game": [np.concatenate([inside, outside])]}
    >>> groups = {"normal": np.arange(20) < 10, "contaminating": np.arange(20) >= 10}
    >>> print(explorers.AAEPriorExplorer(codes, [1e-3], groups).summary())
    weak game, game at 0.001: the AUROC of the distance from the origin is 0.00, so contaminating lies inside,
    where Berg et al. saw anomalies.
    """

    def __init__(
        self,
        codes: Mapping[str, Sequence[np.ndarray]],
        strengths: Sequence[float],
        groups: Mapping[str, np.ndarray],
    ):
        self.strengths = list(strengths)
        self.codes = {name: self._checked(f"codes[{name!r}]", variants) for name, variants in codes.items()}
        if not self.codes:
            reject(OWNER, "codes", "have at least one variant", codes)
        n = len(next(iter(self.codes.values()))[0])
        if any(len(z) != n for variants in self.codes.values() for z in variants):
            reject(OWNER, "codes", f"be of the same images: {n} rows everywhere, as in the first", codes)
        if len(groups) < 2:
            reject(OWNER, "groups", "have at least two entries, the first one normal", groups)
        self.groups = {
            name: as_labels(OWNER, as_numpy(members), n, name=f"groups[{name!r}]").numpy()
            for name, members in groups.items()
        }
        for name, members in self.groups.items():
            if not members.any():
                reject(OWNER, f"groups[{name!r}]", "have at least one member", members)
        self.normal, self.compared = next(iter(self.groups)), list(self.groups)[-1]
        if (self.groups[self.normal] & self.groups[self.compared]).any():
            reject(OWNER, "groups", f"put no image into both {self.normal!r} and {self.compared!r}", groups)
        self.auroc = {name: [self._auroc(z) for z in variants] for name, variants in self.codes.items()}
        super().__init__()

    def _checked(self, name: str, variants: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the codes of a variant, one finite array of shape (N, 2) for each strength."""
        if len(variants) != len(self.strengths) or any(np.ndim(z) != 2 or np.shape(z)[1] != 2 for z in variants):
            reject(OWNER, name, f"hold {len(self.strengths)} arrays of shape (N, 2), one for each strength", variants)
        return [as_numbers(OWNER, name, z, 2) for z in variants]

    def _auroc(self, z: np.ndarray) -> float:
        """Return the AUROC of ‖z‖ for the compared group against the normal one."""
        normal, compared = self.groups[self.normal], self.groups[self.compared]
        members = normal | compared
        return auroc(compared[members], origin_distance(z)[members])

    def _shares(self, z: np.ndarray, name: str) -> np.ndarray:
        """Return the histogram of a group's ‖z‖; larger values count in the last bin."""
        distance = origin_distance(z[self.groups[name]]).clip(BINS[0], BINS[-1])
        return np.histogram(distance, BINS)[0] / len(distance)

    def chosen(self) -> tuple[str, int]:
        """Return what the controls say: the variant, and the place of the strength."""
        controls: tuple[Any, ...] = (self.variant, self.strength)
        variant, strength = (control.value for control in controls)
        return variant, strength

    def summary(self) -> str:
        """Return the present state in words."""
        variant, k = self.chosen()
        value = self.auroc[variant][k]
        place = {
            "outside": "outside, where ITSR looks for it",
            "inside": "inside, where Berg et al. saw anomalies",
            "neither": "neither outside nor inside",
        }[side_of(value)]
        return (
            f"{variant}, game at {self.strengths[k]:g}: the AUROC of the distance from the origin is {value:.2f}, "
            f"so {self.compared} lies {place}.{self._beyond(variant, k)}"
        )

    def _beyond(self, variant: str, k: int) -> str:
        """Return a sentence on the codes outside the plane that is drawn, "" where there are none."""
        share = (np.abs(self.codes[variant][k]) > EDGE).any(axis=1).mean()
        return f" {share:.1%} of the codes lie beyond ±{EDGE}, and are drawn at the edge." if share else ""

    def build(self) -> list[widgets.Widget]:
        self.variant = toggle_buttons(list(self.codes), next(iter(self.codes)))
        places = {f"{strength:g}": k for k, strength in enumerate(self.strengths)}
        self.strength = select_slider("strength of the prior game (learning rate)", places, 0, width=520)
        self.text = StatusText()
        self.plane, self.distances = plot(self._plane(), *SIZE), plot(self._distances(), *SIZE)
        self.refresh()
        for control in (self.variant, self.strength):
            control.observe(self.guarded(self.move), "value")
        which = [row(self.variant)] if len(self.codes) > 1 else []
        return [*which, row(self.strength), self.text, columns(self.plane, self.distances)]

    def move(self, _: Any) -> None:
        """Answer the controls."""
        self.refresh()

    def _plane(self) -> Any:
        nothing = dict.fromkeys(self.groups, (np.zeros(1), np.zeros(1)))
        figure: Any = plots.scatter(
            nothing, title="The plane; the circle holds 90% of the prior", x_title="", y_title=""
        )
        for trace, name in zip(figure.data, self.groups, strict=True):
            trace.name, trace.marker.size = name, 6
        angle = np.linspace(0, 2 * np.pi, 60)
        circle: dict[str, Any] = {
            "x": RADIUS * np.cos(angle),
            "y": RADIUS * np.sin(angle),
            "mode": "lines",
            "showlegend": False,
        }
        figure.add_scatter(**circle, hoverinfo="skip", line={"color": plots.INK, "width": 1.5, "dash": "dash"})
        figure.update_layout(legend={"orientation": "h", "y": -0.1, "x": 0}, margin={"l": 40, "t": 50, "b": 30})
        figure.update_xaxes(range=[-EDGE, EDGE], constrain="domain")
        figure.update_yaxes(range=[-EDGE, EDGE], scaleanchor="x", constrain="domain")
        return figure

    def _distances(self) -> Any:
        nothing = np.zeros(2 * len(BINS) - 2)
        names = (self.normal, self.compared)
        words: dict[str, Any] = {"x_title": "distance from the origin ‖z‖", "y_title": "share of the group"}
        figure: Any = plots.curves(
            np.repeat(BINS, 2)[1:-1], dict.fromkeys(names, nothing), title="How far from the origin", **words
        )
        figure.update_traces(mode="lines")
        for trace, name in zip(figure.data, names, strict=True):
            trace.line.color = plots.PALETTE[list(self.groups).index(name)]
        figure.update_layout(legend={"x": 0.98, "y": 0.98, "xanchor": "right"})
        highest = max(
            float(self._shares(z, name).max()) for variants in self.codes.values() for z in variants for name in names
        )
        figure.update_yaxes(range=[0, 1.1 * highest])
        return figure

    def refresh(self) -> None:
        """Show the present state in all views."""
        variant, k = self.chosen()
        z = self.codes[variant][k]
        with self.plane.batch_update():
            for trace, mask in zip(self.plane.data, self.groups.values(), strict=False):
                trace.x, trace.y = z[mask].clip(-EDGE, EDGE).T
        with self.distances.batch_update():
            for trace, name in zip(self.distances.data, (self.normal, self.compared), strict=True):
                trace.y = np.repeat(self._shares(z, name), 2)
        self.text.say(self.summary())

    def to_image(self) -> Image.Image:
        """Return both plots side by side."""
        return stack([image_of(self.plane), image_of(self.distances)], across=True)
