"""What makes a prediction a probability, in float64.

- A ranking objective's raw score says only which item of a request comes first, and with `ranking.weights` log-odds are
  those among rows of which some count more than once. Platt's method (Platt 1999, with his smoothed labels) fits
  p = 1 / (1 + exp(-(slope * score + intercept))) to the validation days, where every row counts once.
- Where negatives were sampled, a model learns the chance among the sampled rows. With `rate` negatives kept of each one
  on offer, p / (p + (1 - p) / rate) is the chance among all items on offer (He et al., ADKDD 2014, section 6.3). No
  impressions are recorded there, so what it means is: of a request in which the user does act, the chance that this
  item is it. It is no click-through rate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

NEWTON_STEPS = 50


def platt(scores: np.ndarray, labels: np.ndarray) -> dict:
    """{'kind', 'slope', 'intercept'} by Newton's method. Two classes are needed."""
    import numpy as np

    s, positive = scores.astype(np.float64), labels > 0
    n1, n0 = int(positive.sum()), int((~positive).sum())
    wanted = np.where(positive, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    slope, intercept = 0.0, math.log((n1 + 1) / (n0 + 1))
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(slope * s + intercept)
        away, weight = p - wanted, p * (1 - p)
        gradient = np.array([(away * s).sum(), away.sum()])
        curvature = np.array([[(weight * s * s).sum(), (weight * s).sum()], [(weight * s).sum(), weight.sum()]])
        step = np.linalg.solve(curvature + np.eye(2) * 1e-9, gradient)
        slope, intercept = slope - float(step[0]), intercept - float(step[1])
        if abs(step).max() < 1e-10:
            break
    return {"kind": "platt", "slope": slope, "intercept": intercept}


def calibrated(values: np.ndarray, calibration: dict | None) -> np.ndarray:
    """float64; as they are where nothing was fitted."""
    import numpy as np

    values = values.astype(np.float64)
    return values if calibration is None else _sigmoid(calibration["slope"] * values + calibration["intercept"])


def unsampled(chance: np.ndarray, rate: float | None) -> np.ndarray:
    """The chance among all items on offer; as it is where no negatives were sampled, or the rate is not known."""
    return chance if rate is None else chance / (chance + (1 - chance) / rate)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))
