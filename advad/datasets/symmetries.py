"""Augmentation by the symmetries that the images of a set have: mirror images, and turns by 90°.

A bottle seen from above is a bottle when it is turned; a digit is not, and an X-ray whose heart is on the right is an
anomaly. So nothing is augmented unless it is asked for, and `SYMMETRIES_OF` says what is true of the sets known here.
No pixel changes its value: turns by other angles would have to invent some.

    train = symmetric(split.train, SYMMETRIES_OF["mvtec_bottle"])
"""

from __future__ import annotations

import torch
from torch import Tensor

from advad.checks import as_images, check_choice, reject

TRANSFORMS = {  # name -> (whether it is mirrored left to right first, quarter turns)
    "none": ((False, 0),),
    "mirror": ((False, 0), (True, 0)),
    "flips": ((False, 0), (True, 0), (False, 2), (True, 2)),
    "turns": ((False, 0), (False, 1), (False, 2), (False, 3)),
    "square": tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}
SYMMETRIES_OF = {
    "BrainMRI": "mirror",
    "MNIST": "none",
    "coil100_32": "none",  # a turn in the plane is no turn of the turntable
    "cookie": "square",
    "cookie-lab": "square",
    "covid_xray": "none",  # the heart lies on the left
    "chest_xray": "none",
    "mvtec_bottle": "square",
    "plantvillage_pepper": "square",
    "pneumoniamnist": "none",
}


def symmetric(images: Tensor, symmetries: str) -> Tensor:
    """Return images and their symmetric versions.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    symmetries : {"none", "mirror", "flips", "turns", "square"}
        "mirror": left to right; "flips": also upside down; "turns": by 90°, 180° and 270°; "square": both, 8 versions.

    Returns
    -------
    Tensor of shape (k·N, C, H, W)
        The images as they are come first, then one version of all after the other.

    Raises
    ------
    ValueError
        An unknown name, or a turn by 90° of images that are not square.

    Examples
    --------
    >>> import advad
    >>> tuple(symmetric(advad.load("digits").images[:5], "turns").shape)
    (20, 1, 8, 8)
    """
    check_choice("symmetric", "symmetries", symmetries, TRANSFORMS)
    x, transforms = as_images("symmetric", images, name="images"), TRANSFORMS[symmetries]
    if x.shape[2] != x.shape[3] and any(turns % 2 for _, turns in transforms):
        remedy = '"flips" suits images of any sides.'
        reject("symmetric", "images", f"be square for {symmetries!r}", tuple(x.shape[2:]), remedy)
    return torch.cat([(x.flip(3) if mirrored else x).rot90(turns, (2, 3)) for mirrored, turns in transforms])
