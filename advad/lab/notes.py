"""What a lesson puts on the page: notes with a coloured edge, and pictures, for light and dark themes alike."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np
from IPython.display import display

from advad.checks import reject

BLUE, GREEN, RED, GREY = "#0072B2", "#009E73", "#D55E00", "#8A8A8A"  # Okabe-Ito, legible on white and on black


def box(label: str, markup: str, colour: str = BLUE) -> str:
    """Return a note as HTML: an edge in `colour`, a label that says the same in words, and the theme's own text."""
    style = (
        f"max-width:46rem;margin:.4rem 0 1rem;padding:.45rem .9rem;line-height:1.5;"
        f"border-left:4px solid {colour};background:{colour}14"
    )
    return f'<div class="advad-note" style="{style}"><strong>{html.escape(label)}.</strong> {markup}</div>'


def say(kind: str, label: str, text: str, colour: str = BLUE) -> None:
    """Display a note; `kind` tells the gallery what it is."""
    bundle = {"text/html": box(label, html.escape(text), colour), "text/plain": f"{label}. {text}"}
    display(bundle, raw=True, metadata={"advad": {"kind": kind}})


def picture_markup(image: Any, alt: str, width: int | None = None) -> tuple[str, int]:
    """Return an image as an HTML element, and the CSS pixels that it is wide at most.

    By default an image drawn for a dense screen (192 dots an inch) is shown at half its pixels, and another one
    enlarged to about 480, in whole multiples of its own, with sharp pixels.
    """
    pixels = as_pil(image)
    dense = pixels.info.get("dpi", (0, 0))[0] >= 192
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    if width is None:
        width = int(pixels.width // 2 if dense else pixels.width * max(1, round(480 / pixels.width)))
    style = f"display:block;width:100%;max-width:{width}px;image-rendering:{'auto' if dense else 'pixelated'}"
    return f'<img src="{source}" alt="{html.escape(alt)}" style="{style}">', width


def as_pil(image: Any) -> Any:
    """Return a PIL image from one, or from pixels of shape (H, W), (H, W, C) or (C, H, W), `uint8` or in [0, 1].

    Raises
    ------
    TypeError, ValueError
        Another shape, dtype or range.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        return image
    pixels = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        reject("lesson.picture", "image", "have shape (H, W), (H, W, C) or (C, H, W) with C = 1 or 3", pixels)
    if pixels.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails here too
            found = f"values from {pixels.min():.4g} to {pixels.max():.4g}"
            raise ValueError(f"lesson.picture: image must be in [0, 1] when float; got {found}.")
        pixels = (pixels * 255).round().astype(np.uint8)
    if pixels.dtype != np.uint8:
        reject("lesson.picture", "image", "be uint8 or float in [0, 1]", pixels, error=TypeError)
    return Image.fromarray(np.ascontiguousarray(pixels))
