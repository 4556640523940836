"""Images as images: conversions to pixels, grids, overlays, and the HTML element of an image."""

from __future__ import annotations

import base64
import functools
import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import sequential

from advad.checks import reject
from advad.images import as_float, as_numpy, as_uint8
from advad.plots.theme import BLUE, INK, VERMILION

CLEAR = (255, 255, 255, 0)


def to_pixels(image: ArrayLike) -> np.ndarray:
    """Return an image as `uint8` of shape (H, W, 3).

    Parameters
    ----------
    image : array of shape (H, W), (1, H, W) or (3, H, W)
        `uint8`, or float in [0, 1]; what lies outside is clipped.
    """
    pixels = as_uint8(np.asarray(image))
    if pixels.ndim == 2:
        pixels = pixels[None]
    return np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)


def overlay(images: ArrayLike, maps: ArrayLike, strongest: float | None = None) -> np.ndarray:
    """Return images in pale grey under signed maps: vermilion where a map is below 0, blue where it is above.

    Unless told otherwise, each map is scaled by its own strongest value, so colours say where, not how much.

    Parameters
    ----------
    images : array of shape (n, C, H, W)
        `uint8`, or float in [0, 1].
    maps : array of shape (n, H, W)
        Such as occlusion maps, whose negative places are suspicious.
    strongest : float, optional
        The absolute value that gets the full colour, to compare maps by how much.

    Returns
    -------
    ndarray of shape (n, 3, H, W), float in [0, 1]
        For :func:`grid`.
    """
    grey = as_float(np.asarray(images)).mean(1)[..., None]  # (n, H, W, 1)
    signed = np.asarray(maps, dtype=float)
    scale = np.abs(signed).max((1, 2), keepdims=True) if strongest is None else np.asarray(strongest)
    share = (signed / np.where(scale > 0, scale, 1))[..., None]
    below, above = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for colour in (VERMILION, BLUE))
    pale = 0.35 + 0.6 * grey
    mixed = (1 - np.abs(share)) * pale + np.abs(share) * np.where(share < 0, below, above)
    return mixed.transpose(0, 3, 1, 2)


def overlay_key(width: int = 420) -> Image.Image:
    """Return the key of :func:`overlay` for occlusion maps: which colour means what, from vermilion over grey to blue.

    Parameters
    ----------
    width : int
        In CSS pixels.
    """
    scale, bar = 2, 24
    font = _font(12 * scale)
    canvas = Image.new("RGBA", (width * scale, 46 * scale), CLEAR)
    shares = np.linspace(-1, 1, canvas.width)[None, None]  # (1, 1, W)
    colours = overlay(np.full((1, *shares.shape), 0.5), shares)[0]  # (3, 1, W)
    strip = Image.fromarray(np.ascontiguousarray(to_pixels(colours)))
    canvas.paste(strip.resize((canvas.width, bar)), (0, 8))
    draw, foot = ImageDraw.Draw(canvas), bar + 12
    draw.text((0, foot), "covering it lowers the score", fill=INK, font=font, anchor="la")
    draw.text((canvas.width // 2, foot), "no change", fill=INK, font=font, anchor="ma")
    draw.text((canvas.width, foot), "raises it", fill=INK, font=font, anchor="ra")
    canvas.info["dpi"] = (96 * scale, 96 * scale)
    return canvas


def grid(
    rows: Mapping[str, Any],
    *,
    captions: Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[str] = (),
    tile: int = 60,
) -> Image.Image:
    """Return images in labelled rows as one image, clear between them: its texts are legible on white and on black.

    Parameters
    ----------
    rows : mapping of str to array of shape (n, C, H, W) or (n, H, W)
        One row of images each, the label to its left; `uint8` or float in [0, 1]. None leaves a place empty.
    captions : mapping of row label to n texts, optional
        Under the images of that row, such as their scores; of one line or more, broken between words where too wide.
    columns : sequence of str
        Above the columns; broken between words where they are wider.
    tile : int
        Pixels a side of each image; small ones are enlarged with sharp pixels.
    """
    captions, gap, scale = captions or {}, 6, 2  # drawn at twice the size: sharp on a dense screen
    font = _font(12 * scale)
    side, margin, text_height = tile * scale, gap * scale, 18 * scale
    lines_of_labels = [line for label in rows for line in typeset(label).split("\n")]
    label_width = max([round(font.getlength(line)) for line in lines_of_labels], default=0) + 2 * margin
    n = max(len(images) for images in rows.values())
    captions = {name: [_broken(text, font, side + margin // 2) for text in texts] for name, texts in captions.items()}
    lines = {label: max((text.count("\n") for text in texts), default=0) + 1 for label, texts in captions.items()}
    heights = [side + margin + text_height * lines.get(label, 0) for label in rows]
    titles = [_broken(text, font, side + margin // 2) for text in columns]
    deep = max([title.count("\n") + 1 for title in titles], default=0) * text_height
    top = deep + margin
    canvas = Image.new("RGBA", (label_width + n * (side + margin), top + sum(heights)), CLEAR)
    canvas.info["dpi"] = (96 * scale, 96 * scale)
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        foot = label_width + column * (side + margin) + side // 2, top - margin // 2
        draw.text(foot, title, fill=INK, font=font, anchor="md", align="center")
    y = top
    for (label, images), height in zip(rows.items(), heights, strict=True):
        draw.text((label_width - margin, y + side // 2), typeset(label), fill=INK, font=font, anchor="rm")
        for column, image in enumerate(images):
            if image is None:
                continue
            x = label_width + column * (side + margin)
            pixels = Image.fromarray(to_pixels(image))
            method = Image.Resampling.NEAREST if pixels.width <= side else Image.Resampling.LANCZOS
            canvas.paste(pixels.resize((side, side), method), (x, y))
            draw.rectangle((x, y, x + side - 1, y + side - 1), outline="#bbb")
            if label in captions and column < len(captions[label]):
                below: Any = {"fill": INK, "font": font, "anchor": "ma", "align": "center"}
                draw.text((x + side // 2, y + side + 4), captions[label][column], **below)
        y += height
    return canvas


@functools.cache
def _font(size: int) -> Any:
    """Return matplotlib's own font; Pillow's has no minus, no × and no Greek, and draws a box for each."""
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(
        path, size, layout_engine=ImageFont.Layout.BASIC
    )  # the other fails where nothing is drawn


def typeset(text: str) -> str:
    """Return a text with a true minus before numbers, and none before a zero."""
    text = re.sub(r"(?<![\w.])-(?=0(\.0+)?(?![\d.]))", "", text)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def _broken(text: str, font: Any, width: float) -> str:
    """Return a text with line breaks between words, so that no line of several is wider than `width`."""
    lines = []
    for line in typeset(text).split("\n"):
        lines.append("")
        for word in line.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            lines = [*lines[:-1], longer] if not lines[-1] or font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)


CIVIDIS = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in sequential.Cividis])


def stack(images: Sequence[Image.Image], *, across: bool = False) -> Image.Image:
    """Return images below each other (or side by side) as one, for a dense screen."""
    widths, heights = [image.width for image in images], [image.height for image in images]
    size = (sum(widths), max(heights)) if across else (max(widths), sum(heights))
    canvas = Image.new("RGBA", size, CLEAR)
    at = 0
    for image in images:
        canvas.paste(image, (at, 0) if across else (0, at))
        at += image.width if across else image.height
    canvas.info["dpi"] = (192, 192)
    return canvas


def heat(values: np.ndarray, highest: float | None = None) -> np.ndarray:
    """Return values in [0, highest] as colours from dark blue over grey to yellow (cividis), (3, H, W) `uint8`.

    Parameters
    ----------
    values : array of shape (H, W)
    highest : float, optional
        What becomes yellow; else the largest value.
    """
    top = float(values.max()) if highest is None else highest
    place = np.clip(values / top if top > 0 else values * 0, 0, 1)
    stops = np.linspace(0, 1, len(CIVIDIS))
    return np.stack([np.interp(place, stops, CIVIDIS[:, k]) for k in range(3)]).round().astype(np.uint8)


def image_row(
    images: Sequence[np.ndarray], names: Sequence[str], captions: Sequence[str], tile: int = 96
) -> Image.Image:
    """Return images side by side with a name above and a caption under each; at the left edge, without a label."""
    labelled = grid({"": images}, columns=names, captions={"": captions}, tile=tile)
    return without_label(labelled)


def without_label(labelled: Image.Image) -> Image.Image:
    """Return a grid without the margin for the labels of its rows."""
    cropped = labelled.crop((24, 0, *labelled.size))
    cropped.info["dpi"] = (192, 192)
    return cropped


def small(image: np.ndarray) -> Image.Image:
    """Return an image of shape (C, H, W) as a PIL image of its own size."""
    return Image.fromarray(np.ascontiguousarray(to_pixels(image)))


def image_markup(image: Any, alt: str, width: int | None = None) -> tuple[str, int]:
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
    pixels = as_numpy(image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        reject("lesson.image", "image", "have shape (H, W), (H, W, C) or (C, H, W) with C = 1 or 3", pixels)
    if pixels.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails here too
            observed = f"values from {pixels.min():.4g} to {pixels.max():.4g}"
            raise ValueError(f"lesson.image: image must be in [0, 1] when float; got {observed}.")
        pixels = as_uint8(pixels)
    if pixels.dtype != np.uint8:
        reject("lesson.image", "image", "be uint8 or float in [0, 1]", pixels, error=TypeError)
    return Image.fromarray(np.ascontiguousarray(pixels))
