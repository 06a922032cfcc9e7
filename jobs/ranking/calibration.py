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

import logging
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("recflow")


def platt(scores: np.ndarray, labels: np.ndarray) -> dict:
    """{'kind', 'slope', 'intercept'}; two classes are needed.

    The slope is never below 0: where scores order the rows the wrong way round, everything gets the mean.
    """
    import numpy as np
    from scipy.optimize import minimize

    positive = labels > 0
    middle, spread = float(scores.mean(dtype=np.float64)), float(scores.std(dtype=np.float64)) or 1.0
    z = (scores.astype(np.float64) - middle) / spread
    n1, n0 = int(positive.sum()), int((~positive).sum())
    wanted = np.where(positive, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def loss(at: np.ndarray) -> float:
        margin = at[0] * z + at[1]
        return float((np.logaddexp(0, margin) - wanted * margin).mean())

    def gradient(at: np.ndarray) -> np.ndarray:
        away = _sigmoid(at[0] * z + at[1]) - wanted
        return np.array([(away * z).mean(), away.mean()])

    def curvature(at: np.ndarray) -> np.ndarray:
        p = _sigmoid(at[0] * z + at[1])
        weight = p * (1 - p)
        return np.array([[(weight * z * z).mean(), (weight * z).mean()], [(weight * z).mean(), weight.mean()]])

    mean = float(wanted.mean())
    alone = math.log(mean / (1 - mean))
    found = minimize(loss, [0.0, alone], jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-9})
    slope, intercept = (float(value) for value in found.x)
    if slope < 0:
        log.warning("the scores order the validation rows the wrong way round (slope %.3g): all get the mean", slope)
        slope, intercept = 0.0, alone
    return {"kind": "platt", "slope": slope / spread, "intercept": intercept - slope * middle / spread}


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
