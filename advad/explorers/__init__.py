"""Widgets over figures: what a reader moves, Python answers. All explorers, by one import.

    from advad import explorers

    explorers.LatentExplorer(detector, images, labels=labels)

An explorer is shown by naming it at the end of a cell. Its callbacks run inside `Explorer.guarded`, which shows
an error in a panel of its own instead of losing it; after it, a lesson shows its static image:
`lesson.picture(explorer.to_image(), explorer.summary(), alt=...)`.
"""

from advad.analysis.contamination import ContaminationRuns, contaminated_runs, load_runs
from advad.explorers.aae_prior import AAEPriorExplorer
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
    "ContaminationExplorer",
    "ContaminationRuns",
    "Explorer",
    "GuessingGame",
    "LatentExplorer",
    "NoiseExplorer",
    "OcclusionBrush",
    "OcclusionExplorer",
    "AAEPriorExplorer",
    "ReconstructionExplorer",
    "EvaluationPitfallsExplorer",
    "ThresholdExplorer",
    "contaminated_runs",
    "load_runs",
]
