"""How deeply cells were sequenced at each time: differences of depth can look like motion."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dynamics.findings import Finding, warning
from dynamics.roles import Roles
from dynamics.time_column import plain_name
from dynamics.times import TimeAxis

if TYPE_CHECKING:
    from anndata import AnnData

DEPTH_NAMES = r"total_counts|n_?counts?(_rna)?|n_?umis?|total_umis?|umi_counts?|n_molecules|library_size"
UNEVEN = 2.0
"""Ratio of the medians of two times from which depth is worth a look."""
FEWEST = 5
"""Cells of a time from which its median is compared."""
ROWS = 4096


def depth(adata: "AnnData", roles: Roles) -> np.ndarray | None:
    """Return the molecules counted in each cell, (n_obs,) float64 with NaN where unknown; None if unknown.

    They are read from a column such as "total_counts", else added up from the counts where these are in
    memory or backed by the file.
    """
    for name in adata.obs.columns:
        if re.fullmatch(DEPTH_NAMES, plain_name(name)):
            column = adata.obs[name]
            if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
                return _cleaned(column.to_numpy(dtype=np.float64, na_value=np.nan))
    counts = _counts(adata, roles)
    if counts is None or 0 in counts.shape or counts.dtype.kind not in "iuf":
        return None
    parts = [counts[start : start + ROWS].sum(axis=1) for start in range(0, counts.shape[0], ROWS)]
    return _cleaned(np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts]))


def medians(values: np.ndarray, index: np.ndarray, n_times: int) -> np.ndarray:
    """Return the median of each time, (n_times,); NaN where fewer than five cells have a value."""
    known = np.isfinite(values)
    groups = [values[known & (index == k)] for k in range(n_times)]
    return np.array([np.median(group) if len(group) >= FEWEST else np.nan for group in groups])


def depth_findings(
    adata: "AnnData", roles: Roles, *, axis: TimeAxis | None, index: np.ndarray
) -> Iterator[Finding]:
    """Say whether some times were sequenced more than twice as deeply as others."""
    if axis is None or len(axis) < 2:
        return
    values = depth(adata, roles)
    if values is None:
        return
    middle = medians(values, index, len(axis))
    known = np.flatnonzero(middle > 0)
    if len(known) < 2:
        return
    low, high = known[middle[known].argmin()], known[middle[known].argmax()]
    ratio = middle[high] / middle[low]
    if ratio > UNEVEN:
        yield warning(
            "depth-differs",
            f"Cells were counted to different depths: a median of {middle[low]:,.0f} molecules at "
            f"{axis.name(int(low))} and of {middle[high]:,.0f} at {axis.name(int(high))}, "
            f"{ratio:.1f} times as many.",
            "Use states made from values normalised per cell (preparing does that), and colour the map by "
            "the counts: motion along their gradient may be depth. Larger cells have more RNA, too.",
        )


def _counts(adata: "AnnData", roles: Roles) -> Any:
    if adata.X is None or roles.counts_layer is None:
        return None
    if roles.counts_layer == "raw":
        return None if adata.raw is None else adata.raw.X
    return adata.X if roles.counts_layer == "X" else adata.layers.get(roles.counts_layer)


def _cleaned(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & (values >= 0), values, np.nan)
