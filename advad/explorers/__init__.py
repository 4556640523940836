"""Explorers: widgets in a notebook through which a reader works with detectors, images and results.

    from advad import explorers

    explorers.LatentExplorer(detector, images, labels=labels)

All explorers of detectors have the same arguments: a fitted detector, or a mapping of names to detectors; images,
(N, C, H, W) or (N, H, W); and by name, if known, `labels`, `classes` and `is_anomaly`.

An explorer is shown when it is the last expression of a cell. Errors in its callbacks are shown in its own panel
(`Explorer.guarded`). A lesson shows its static form after it:
`lesson.image(explorer.to_image(), explorer.summary(), alt=...)`.
"""

from typing import Any

from advad.analysis.contamination import ContaminationRuns, contaminated_runs, load_runs
from advad.checks import new_name
from advad.explorers.aae_prior import AAEPriorExplorer
from advad.explorers.anomaly_map import AnomalyMapExplorer
from advad.explorers.attack import AttackExplorer
from advad.explorers.base import Explorer
from advad.explorers.contamination import ContaminationExplorer
from advad.explorers.evaluation_pitfalls import EvaluationPitfallsExplorer
from advad.explorers.guessing_game import GuessingGame
from advad.explorers.latent.explorer import LatentExplorer
from advad.explorers.noise import NoiseExplorer
from advad.explorers.occlusion import OcclusionExplorer
from advad.explorers.occlusion_brush import OcclusionBrush
from advad.explorers.reconstruction import ReconstructionExplorer
from advad.explorers.threshold import ThresholdExplorer

__all__ = [
    "AttackExplorer",
    "ContaminationExplorer",
    "ContaminationRuns",
    "Explorer",
    "GuessingGame",
    "LatentExplorer",
    "NoiseExplorer",
    "OcclusionBrush",
    "OcclusionExplorer",
    "AAEPriorExplorer",
    "AnomalyMapExplorer",
    "ReconstructionExplorer",
    "EvaluationPitfallsExplorer",
    "ThresholdExplorer",
    "contaminated_runs",
    "load_runs",
]

OLD_NAMES = {  # deprecated in 0.2, gone in 0.3
    "GuessTheAnomaly": "GuessingGame",
    "NoiseLadder": "NoiseExplorer",
    "PriorGameExplorer": "AAEPriorExplorer",
    "ShortcutExplorer": "EvaluationPitfallsExplorer",
}


def __getattr__(name: str) -> Any:
    """Return an explorer under its old name, with a warning that names the new one."""
    return globals()[new_name("advad.explorers", name, OLD_NAMES, f"It has {', '.join(__all__)}.")]
