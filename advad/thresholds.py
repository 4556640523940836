"""The one meaning of a threshold at a false-alarm rate, for everything that sets one.

It stands on the ground floor because detectors set thresholds as well as analyses.
"""

from __future__ import annotations

import numpy as np


def lowest_threshold(scores: np.ndarray, false_alarm_rate: float) -> float:
    """Return the lowest of the scores that at most a share of them exceed.

    It is one of the scores: a value between two of them could let more of them through than the share allows.

    Parameters
    ----------
    scores : ndarray of shape (N,)
        Scores of normal images, higher = more anomalous; N >= 1.
    false_alarm_rate : float in [0, 1)
        The share.

    Returns
    -------
    float
    """
    alarms = int(false_alarm_rate * len(scores) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    return float(np.sort(scores)[-1 - alarms])
