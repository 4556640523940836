"""The methods, one published method a file; none imports another unless its paper builds on the other's."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advad.engine.base import BaseDetector

METHODS = {  # class -> file
    "AE": "autoencoder",
    "DAE": "autoencoder",
    "VAE": "vae",
    "DeepSVDD": "deep_svdd",
    "DeepSAD": "deep_sad",
    "ARAE": "arae",
    "AAE": "aae",
    "ITSR": "itsr",
    "ALCN": "alcn",
    "PCA": "classical",
    "OCSVM": "classical",
    "LOF": "classical",
    "IForest": "classical",
    "KDE": "classical",
    "PyOD": "pyod",
    "FeatureKNN": "feature_knn",
    "AGAD": "agad",
    "GANomaly": "ganomaly",
    "SkipGANomaly": "skip_ganomaly",
    "Berg": "berg",
    "FAnoGAN": "fanogan",
    "AnoGAN": "anogan",
    "EGBAD": "egbad",
    "ADAE": "adae",
    "OLED": "oled",
    "GeoTrans": "geotrans",
    "LSA": "lsa",
    "OCGAN": "ocgan",
}


def load_detector(path: str | Path, device: str | None = None) -> BaseDetector:
    """Return a detector that `Detector.save` wrote, whatever its method.

    Parameters
    ----------
    path : str or Path
        As given to `save`; the ending may be left out.
    device : str, optional
        Where to put it, instead of where its parameter says.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        The file is damaged, was edited, is a checkpoint, or holds a method that this version does not know.
    """
    from advad.engine.base import saved_path
    from advad.files import read_state

    homes = {name: f"advad.methods.{file}" for name, file in METHODS.items()} | {
        "PatchDetector": "advad.engine.patches"
    }
    method = read_state(saved_path(path))[1].get("method")
    if not isinstance(method, str) or method not in homes:
        raise ValueError(f"load_detector: {path} holds {method!r}, which is none of {', '.join(homes)}.")
    return getattr(importlib.import_module(homes[method]), method).load(path, device)
