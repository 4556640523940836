"""An image to paint on, as a widget, and the same as a static image."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image

from advad.plots.images import to_pixels
from advad.plots.theme import ORANGE


class Canvas(anywidget.AnyWidget):
    """An image of which a reader covers pixels by click, drag or keyboard; `canvas.js` draws it.

    Attributes
    ----------
    shape : [H, W]
        In pixels.
    source : str
        The image as the address of a PNG; see :meth:`show`.
    covered : list of int
        The pixels covered, row after row: row · W + column.
    fill : str
        What covers them, a CSS colour.
    side : int
        Of the square brush, in pixels.
    erasing : bool
        Whether the brush uncovers.
    label : str
        Alternative text of the image for screen readers.
    """

    _esm = Path(__file__).with_suffix(".js")
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)
    covered = traitlets.List(traitlets.Int()).tag(sync=True)
    fill = traitlets.Unicode("#000000").tag(sync=True)
    side = traitlets.Int(1).tag(sync=True)
    erasing = traitlets.Bool(False).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def show(self, image: np.ndarray, label: str) -> None:
        """Show an image of shape (C, H, W), `uint8` or in [0, 1]."""
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(to_pixels(image))).save(buffer, "PNG")
        self.source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        self.label = label

    @property
    def mask(self) -> np.ndarray:
        """The pixels covered as a bool array of shape (H, W)."""
        mask = np.zeros(self.shape, bool)
        mask.flat[self.covered] = True
        return mask


def outlined(image: np.ndarray, mask: np.ndarray, side: int = 192) -> np.ndarray:
    """Return an image of shape (C, H, W) enlarged to (side, side), with an orange line inside the mask's edge.

    Returns
    -------
    ndarray of shape (3, side, side), `uint8`
    """
    large = Image.fromarray(np.ascontiguousarray(to_pixels(image))).resize((side, side), Image.Resampling.NEAREST)
    inside = np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST), dtype=bool)
    core = np.pad(inside, 2)  # what is two pixels away from the edge, on all sides
    for axis in (0, 1):
        core = core & np.roll(core, 2, axis) & np.roll(core, -2, axis)
    pixels = np.array(large)
    pixels[inside & ~core[2:-2, 2:-2]] = [int(ORANGE[k : k + 2], 16) for k in (1, 3, 5)]
    return pixels.transpose(2, 0, 1)
