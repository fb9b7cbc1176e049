"""Cells that occur more than once: joined twice, given two times, or alike because values have few steps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from dynamics.findings import Finding, note, warning
from dynamics.time_column import plain_name

if TYPE_CHECKING:
    from anndata import AnnData

FREQUENT = 0.01
"""Share of repeated cells from which it is said."""
LEAKED = 0.005
"""Share of cells with a copy at another time from which it is said."""
FEW_STEPS = 30
"""Different values of a gene or dimension, in the median, up to which ties are to be expected."""
SMALL_PANEL = 200
"""From so many genes on, two cells do not agree in all of them by chance."""
ENTRIES = 2_000_000
"""Values that are looked at together, to bound the memory."""
BARCODES = 147_456
"""The smallest set of cell barcodes in wide use (384 × 384, inDrop); 10x Genomics has five times as many."""
SHARED = 0.1
BARCODE = re.compile(r"[ACGT]{6,}(?:[-_+.]?[ACGT]{6,})*")
BARCODE_NAMES = r"(cell_?)?barcodes?(_seq\w*)?|cb|cell_?bc"
TWICE = "Check that files were not joined twice; "


@dataclass(frozen=True)
class Copies:
    """How often cells agree exactly.

    Attributes
    ----------
    repeated
        Cells that equal an earlier one.
    across
        Cells that equal one at another time.
    known
        Cells that were compared.
    is_tied
        Some come up very often, as where values have few steps or a floor; joined files repeat all alike.
    """

    repeated: int
    across: int
    known: int
    is_tied: bool


def row_marks(rows: Any) -> np.ndarray:
    """Return a number for each row, (n,) uint64: equal for equal rows, different for almost all others.

    Parameters
    ----------
    rows : (n, width)
        Dense or CSR; zeros that are stored count as zeros that are not.
    """
    n_rows, width = rows.shape
    probe = np.random.default_rng(0).integers(0, 2**64, width, dtype=np.uint64) | np.uint64(1)
    if not sparse.issparse(rows):
        step = max(1, ENTRIES // max(width, 1))
        parts = [_mixed(rows[k : k + step]) @ probe for k in range(0, n_rows, step)]
        return np.concatenate([*parts, np.empty(0, np.uint64)])
    rows = rows.tocsr()
    ends = np.concatenate(([np.uint64(0)], np.cumsum(_mixed(rows.data) * probe[rows.indices])))
    return ends[rows.indptr[1:]] - ends[rows.indptr[:-1]]


def copies(marks: np.ndarray, index: np.ndarray) -> Copies:
    """Count equal cells.

    Parameters
    ----------
    marks : (n,)
        A number for each cell that was compared, as `row_marks` gives it.
    index : (n,)
        Position of each cell's time; -1 where it has none.
    """
    if len(marks) == 0:
        return Copies(0, 0, 0, False)
    _, group, sizes = np.unique(marks, return_inverse=True, return_counts=True)
    timed = index >= 0
    pairs = np.unique(np.c_[group[timed], index[timed]], axis=0)
    n_times = np.bincount(pairs[:, 0], minlength=len(sizes))
    tied = sizes.max() > max(5, 3 * np.median(sizes))
    across = int((timed & (n_times[group] > 1)).sum())
    return Copies(len(marks) - len(sizes), across, len(marks), bool(tied))


def has_few_steps(values: Any) -> bool:
    """Whether the columns of a narrow table take few different values each, as binary and ordinal ones do."""
    if not 0 < values.shape[1] < SMALL_PANEL or values.shape[0] <= 2 * FEW_STEPS:
        return False
    dense = np.asarray(values.toarray() if sparse.issparse(values) else values)
    return bool(np.median([len(np.unique(column)) for column in dense.T]) <= FEW_STEPS)


def copy_findings(found: Copies, *, code: str, what: str, tied: bool) -> Iterator[Finding]:
    """Say what repeated cells mean.

    Parameters
    ----------
    code
        "cells" or "states": how the findings are named.
    what
        What is the same, such as "expression".
    tied
        The values are of a kind in which cells agree by chance.
    """
    if tied:
        if found.repeated > FREQUENT * found.known:
            yield note(
                f"tied-{code}",
                f"{found.repeated:,} of {found.known:,} cells have exactly the {what} of another cell. "
                "Some values come up again and again, as where they have few steps or a floor, so this is no "
                "sign of copied cells.",
                "Small distances between such cells mean little; more genes or finer values would tell more.",
            )
        return
    if found.repeated > FREQUENT * found.known:
        yield warning(
            f"duplicate-{code}",
            f"{found.repeated:,} of {found.known:,} cells have exactly the {what} of another cell.",
            f"{TWICE}repeated cells count twice in everything that follows.",
        )
    if found.across > max(2, LEAKED * found.known):
        yield warning(
            f"{code}-at-two-times",
            f"{found.across:,} of {found.known:,} cells have exactly the {what} of a cell at another time.",
            "Check whether a sample was given two times. If one of them is held out, the model has seen its "
            "cells at the other, and its scores look better than they are.",
        )


def barcode_findings(adata: "AnnData", index: np.ndarray) -> Iterator[Finding]:
    """Say whether more cells than by chance carry the barcode of a cell at another time."""
    codes = _barcodes(adata) if adata.n_obs else None
    if codes is None:
        return
    used = (codes >= 0) & (index >= 0)
    found = copies(codes[used].astype(np.uint64), index[used])
    if found.known == 0:
        return
    others = found.known - np.bincount(index[used])[index[used]]
    chance = float(np.mean(-np.expm1(-others / BARCODES)))
    share = found.across / found.known
    if share > max(SHARED, 3 * chance):
        yield warning(
            "barcodes-at-two-times",
            f"{found.across:,} of {found.known:,} cells ({share:.0%}) carry the barcode of a cell at another "
            f"time; by chance up to {chance:.1%} would.",
            "Check whether a sample was given two times, or joined twice under other names. Held-out scores "
            "would look better than they are.",
        )


def _barcodes(adata: "AnnData") -> np.ndarray | None:
    """A number for each cell's barcode, (n_obs,) int64 with -1 for none; None where cells have none."""
    columns = [name for name in adata.obs.columns if re.fullmatch(BARCODE_NAMES, plain_name(name))]
    for names in (adata.obs_names, *(adata.obs[name].astype(str) for name in columns)):
        hits = (BARCODE.search(str(name)) for name in names)
        barcodes = [hit.group() if hit and len(hit.group()) >= 12 else None for hit in hits]
        codes = pd.factorize(np.array(barcodes, dtype=object))[0]
        if (codes >= 0).mean() > 0.8:
            return codes
    return None


def _mixed(values: np.ndarray) -> np.ndarray:
    """The bits of numbers, stirred so that near numbers differ in all of them; 0 for zero."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    bits = bits * np.uint64(0x9E3779B97F4A7C15)
    return (bits ^ (bits >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
