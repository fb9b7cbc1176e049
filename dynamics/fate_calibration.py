"""Whether probabilities hold what they say: of what was said to be 30 % likely, do 30 % come true?"""

from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, eq=False)
class ReliabilityTable:
    """Predictions in bins of equal width, and how often they came true.

    Attributes
    ----------
    predicted, real : (n_bins,)
        Mean prediction and mean truth of the bins that are not empty.
    counts : (n_bins,)
        Predictions in each.
    error
        Expected calibration error: mean over all predictions of |mean prediction − mean truth| of their bin.
    """

    predicted: np.ndarray
    real: np.ndarray
    counts: np.ndarray
    error: float


def reliability_table(predicted: np.ndarray, real: np.ndarray, *, bins: int = BINS) -> ReliabilityTable:
    """Compare probabilities with what came true, 0 to 1 each; pairs with NaN are left out.

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017 (expected calibration error).
    """
    p, q = np.asarray(predicted, float).ravel(), np.asarray(real, float).ravel()
    known = np.isfinite(p) & np.isfinite(q)
    p, q = p[known], q[known]
    place = np.minimum((p * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    used = counts > 0
    mean_p, mean_q = (np.bincount(place, values, minlength=bins)[used] / counts[used] for values in (p, q))
    error = float((counts[used] * np.abs(mean_p - mean_q)).sum() / max(counts.sum(), 1))
    return ReliabilityTable(mean_p, mean_q, counts[used], error)
