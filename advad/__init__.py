"""advad: adversarial and robust image anomaly detection, for teaching and reproducible evaluation.

What is named here is the public face. Each name is imported when it is first used, so that `import advad` costs
little more than `import torch`.
"""

# ruff: noqa: F401 (the names under TYPE_CHECKING are those of _HOMES)
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch as _torch  # everything here stands on it

__version__ = "0.1.0"

_HOMES = {
    "advad.analysis.metrics": [
        "Interval",
        "auprc",
        "auroc",
        "balanced_accuracy",
        "best_f1",
        "bootstrap",
        "f1_at",
        "fpr_at_tpr",
        "rate_interval",
        "threshold_at",
    ],
    "advad.datasets.protocols": ["Split", "leave_one_out", "merged", "one_class"],
    "advad.datasets.load": ["ImageSet", "load"],
    "advad.engine.detector": ["Detector"],
    "advad.engine.stacking": ["Many"],
    "advad.engine.training": ["DivergedError"],
    "advad.methods": ["load_detector"],
    "advad.methods.aae": ["AAE"],
    "advad.methods.adae": ["ADAE"],
    "advad.methods.agad": ["AGAD"],
    "advad.methods.alcn": ["ALCN"],
    "advad.methods.anogan": ["AnoGAN"],
    "advad.methods.arae": ["ARAE", "ARAE_A", "ARAE_R"],
    "advad.methods.autoencoder": ["AE", "DAE"],
    "advad.methods.berg": ["Berg"],
    "advad.methods.egbad": ["EGBAD"],
    "advad.methods.fanogan": ["FAnoGAN"],
    "advad.methods.geotrans": ["GeoTrans"],
    "advad.methods.classical": ["IForest", "KDE", "LOF", "OCSVM", "PCA"],
    "advad.methods.deep_sad": ["DeepSAD"],
    "advad.methods.deep_svdd": ["DeepSVDD"],
    "advad.methods.ganomaly": ["GANomaly"],
    "advad.methods.itsr": ["ITSR"],
    "advad.methods.oled": ["OLED"],
    "advad.methods.lsa": ["LSA"],
    "advad.methods.ocgan": ["OCGAN"],
    "advad.methods.pyod": ["PyOD"],
    "advad.methods.skip_ganomaly": ["SkipGANomaly"],
    "advad.methods.vae": ["VAE"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605

if TYPE_CHECKING:  # what editors and type checkers see
    from advad.analysis.metrics import (
        Interval,
        auprc,
        auroc,
        balanced_accuracy,
        best_f1,
        bootstrap,
        f1_at,
        fpr_at_tpr,
        rate_interval,
        threshold_at,
    )
    from advad.datasets.load import ImageSet, load
    from advad.datasets.protocols import Split, leave_one_out, merged, one_class
    from advad.engine.detector import Detector
    from advad.engine.stacking import Many
    from advad.engine.training import DivergedError
    from advad.methods import load_detector
    from advad.methods.aae import AAE
    from advad.methods.adae import ADAE
    from advad.methods.agad import AGAD
    from advad.methods.alcn import ALCN
    from advad.methods.anogan import AnoGAN
    from advad.methods.arae import ARAE, ARAE_A, ARAE_R
    from advad.methods.autoencoder import AE, DAE
    from advad.methods.berg import Berg
    from advad.methods.classical import KDE, LOF, OCSVM, PCA, IForest
    from advad.methods.deep_sad import DeepSAD
    from advad.methods.deep_svdd import DeepSVDD
    from advad.methods.egbad import EGBAD
    from advad.methods.fanogan import FAnoGAN
    from advad.methods.ganomaly import GANomaly
    from advad.methods.geotrans import GeoTrans
    from advad.methods.itsr import ITSR
    from advad.methods.lsa import LSA
    from advad.methods.ocgan import OCGAN
    from advad.methods.oled import OLED
    from advad.methods.pyod import PyOD
    from advad.methods.skip_ganomaly import SkipGANomaly
    from advad.methods.vae import VAE


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'advad' has no attribute {name!r}. It has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
