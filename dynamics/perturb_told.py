"""What a perturbation did, as sentences and tables."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dynamics.annotate import OURS, remember, spread
from dynamics.perturb import Effect
from dynamics.perturb_null import Null, verdict

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.field import VelocityField
    from dynamics.perturbation import Perturbation
    from dynamics.snapshots import Snapshots

CHANGE = "fate_change"
READING = "Read off correlations by a trained model: a candidate for an experiment, not its result."


def sentence(found: Effect, random: Null | None, *, fate: int | None = None, cells: str = "cells") -> str:
    """Say first what happened to one fate (by default the one that moves most), with interval and null."""
    start = found.what[:1].upper() + found.what[1:]
    if found.refused or not found.names:
        moved = ""
        if np.isfinite(found.displacement) and not found.refused:
            moved = (
                f"{start} in {found.n_cells:,} {cells} displaces the ends of their paths by "
                f"{found.displacement:.2f} spreads of a snapshot. "
            )
        return moved + verdict(found, random, fate=fate)[1]
    k = found.largest if fate is None else fate
    if not np.isfinite(found.change[k]):
        return f"{start}: none of these cells reaches a terminal state, so no fate can be told."
    change, band = found.change[k], sorted(np.abs([found.low[k], found.high[k]]))
    way = "towards" if change >= 0 else "away from"
    if found.low[k] * found.high[k] > 0:
        said = f"{band[0]:.0%} to {band[1]:.0%}"
    else:
        said = f"{found.low[k]:+.0%} to {found.high[k]:+.0%}"
    where = "" if found.by_cell is None else f" in {found.n_cells:,} {cells}"
    text = f"{start}{where} moves fates {way} {found.names[k]} by {abs(change):.0%} (80 %: {said})"
    if random is None:
        return f"{text}. {verdict(found, None, fate=k)[1]}"
    return (
        f"{text}; random genes of equal variance: {random.typical[k]:.1%}. "
        f"{verdict(found, random, fate=k)[1]}"
    )


def table(found: Effect, random: Null | None) -> pd.DataFrame:
    """Return one row for each fate: before, after, change with its interval, and random genes."""
    rows: dict[str, Any] = {"fate": list(found.names)}
    for name in ("before", "after", "change", "low", "high"):
        rows[name] = getattr(found, name)
    if random is not None:
        rows |= {"random_low": random.low, "random_high": random.high, "p": random.p}
    return pd.DataFrame(rows)


def annotated(
    adata: "AnnData", told: dict[str, Any], *, model: "VelocityField", snapshots: "Snapshots"
) -> "AnnData":
    """Return a copy of a data set with a result of *What if* in it.

    Parameters
    ----------
    told
        What is put into `uns["driftscope"]["perturb"]`. Of it, `by_cell`, (n_cells, n_fates), the change of
        the fates of each cell of the snapshots, goes into `obsm["fate_change"]`, with "driftscope_" before
        the name where the input has one from elsewhere; cells that were not followed get NaN.
    """
    result = adata.copy()
    told = dict(told)
    by_cell = told.pop("by_cell", None)
    if by_cell is not None and by_cell.shape[1]:
        ours = adata.uns.get(OURS, {}).get("perturb", {}).get("key")
        told["key"] = CHANGE if ours == CHANGE or CHANGE not in adata.obsm else f"{OURS}_{CHANGE}"
        result.obsm[told["key"]] = spread(by_cell, snapshots, adata.n_obs)
    remember(result, "perturb", told, model=model, snapshots=snapshots)
    return result


def to_json(found: Effect, random: Null | None, *, perturbation: "Perturbation | None") -> dict[str, Any]:
    """Return all that is told, as plain values; what is not known is None."""
    level, said = verdict(found, random)
    return {
        "perturbation": None if perturbation is None else perturbation.to_json(),
        "n_cells": found.n_cells,
        "n_members": found.n_members,
        "off_support": found.off,
        "off_support_at_start": found.off_start,
        "jump": _plain(found.jump),
        "displacement": _plain(found.displacement),
        "refused": found.refused,
        "verdict": said,
        "level": level,
        "sentence": sentence(found, random),
        "fates": [
            {name: value if isinstance(value, str) else _plain(value) for name, value in row.items()}
            for row in table(found, random).to_dict(orient="records")
        ],
        "types": {
            name: [_plain(before), _plain(after)]
            for name, before, after in zip(found.types, found.types_before, found.types_after, strict=False)
        },
        "random_genes": [] if random is None else list(random.genes),
        "note": READING,
    }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
