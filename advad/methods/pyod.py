"""Any detector of PyOD, if PyOD is installed, on pixels or on the codes of a fitted detector.

Zhao, Nasrullah, Li: PyOD: A Python Toolbox for Scalable Outlier Detection. JMLR 20, 2019.
What the class shares with scikit-learn's detectors, and how it is saved without a pickle: `engine/bases/library.py`.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from advad.checks import check_number, reject
from advad.engine.bases.library import Classical


@dataclass(kw_only=True, eq=False, repr=False)
class PyOD(Classical):
    """Any detector of PyOD, if PyOD is installed; A(x) is its `decision_function`.

    Parameters
    ----------
    detector : pyod.models.base.BaseDetector
        For example `pyod.models.ecod.ECOD()`. A copy is fitted, not the detector itself.
    seed : int
        Given to the copy as `random_state` if it has this parameter and its value is None.
    codes_of
        See `Classical`.
    """

    detector: Any
    seed: int = 0

    def check(self) -> None:
        super().check()
        check_number("PyOD", "seed", self.seed, 0, integer=True)
        if not isinstance(self.detector, _pyod_base()):
            remedy = "For example pyod.models.ecod.ECOD()."
            reject("PyOD", "detector", "be a detector of PyOD", self.detector, remedy, TypeError)

    def build(self, features: np.ndarray) -> Any:
        parameters = self.detector.get_params(deep=False)
        if parameters.get("random_state", 0) is None:
            parameters["random_state"] = self.seed
        return type(self.detector)(**parameters)

    def score_features(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.estimator_.decision_function(features))

    def _stored(self) -> dict[str, Any]:
        kind = type(self.detector)
        parameters = self.detector.get_params(deep=False)
        try:
            json.dumps(parameters)
        except TypeError:
            remedy = "Give it numbers and texts only, or keep it unsaved."
            reject(
                "PyOD", "detector", "have parameters that JSON can hold, to be saved", self.detector, remedy, TypeError
            )
        return {"detector": f"{kind.__module__}.{kind.__name__}", "parameters": parameters, "seed": self.seed}

    @classmethod
    def _restored(cls, stored: dict[str, Any]) -> dict[str, Any]:
        module, name = stored["detector"].rsplit(".", 1)
        kind = getattr(importlib.import_module(module), name, None) if module.startswith("pyod.models.") else None
        if not (isinstance(kind, type) and issubclass(kind, _pyod_base())):
            reject("PyOD", "detector", "be a class of pyod.models", stored["detector"])
        return {"detector": kind(**stored["parameters"]), "seed": stored["seed"]}

    def _library(self) -> str:
        return f"PyOD {importlib.import_module('pyod').__version__}, {super()._library()}"


def _pyod_base() -> type:
    try:
        return importlib.import_module("pyod.models.base").BaseDetector
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("PyOD: it is not installed here. pip install pyod") from error
