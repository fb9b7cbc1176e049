"""Write fates into an AnnData, under the names that CellRank reads, and into a table for spreadsheets."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dynamics.annotate import OURS, remember, spread
from dynamics.spreadsheet import LINE_END, as_text
from dynamics.terminal import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from dynamics.fates import Fates
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates

FATES = "fate_probabilities"
LINEAGES, STATES = "lineages_fwd", "term_states_fwd"
"""Names under which CellRank 2 keeps fates and terminal states."""


def write_fates(
    adata: "AnnData",
    fates: "Fates",
    states: "TerminalStates",
    snapshots: "Snapshots",
    *,
    model: "VelocityField",
    colours: "Sequence[str]" = (),
) -> "AnnData":
    """Return a copy of a data set with the fates of its cells; cells without a time get NaN.

    Written are `obsm["fate_probabilities"]` with `uns["fate_probabilities_names"]`; the same as
    `obsm["lineages_fwd"]`, with the terminal states in `obs["term_states_fwd"]`, as CellRank 2 reads them;
    and in `uns["driftscope"]["fates"]` intervals, fates without growth, terminal states with their reasons,
    and how all was found. A name that the input has already, from another tool, is left as it is there, and
    ours gets "driftscope_" before it.
    """
    result = adata.copy()
    before = result.uns.get(OURS, {})
    own = set(map(str, np.ravel(before.get("fates", {}).get("keys", ()))))
    prefix = f"{OURS}_" if _taken(result) - own else ""
    keys = [f"{prefix}{key}" for key in (FATES, LINEAGES, STATES)]
    known = {
        name: None if values is None else spread(values, snapshots, result.n_obs)
        for name, values in (
            ("probabilities", fates.probabilities),
            ("low", fates.low),
            ("high", fates.high),
            ("without_growth", fates.without_growth),
            ("reached", fates.reached),
            ("unsupported", fates.unsupported),
        )
    }
    probabilities = known.pop("probabilities")
    result.obsm[keys[0]], result.obsm[keys[1]] = probabilities, probabilities.copy()
    result.uns[f"{keys[0]}_names"] = np.array(fates.names, dtype=object)
    codes = np.full(result.n_obs, -1)
    codes[snapshots.cells] = states.codes
    result.obs[keys[2]] = pd.Categorical.from_codes(codes, list(states.names))
    result.obs[f"{keys[2]}_probs"] = np.where(codes >= 0, 1.0, np.nan)
    if len(colours) == len(states):
        result.uns[f"{keys[2]}_colors"] = list(colours)
    told = {**_recipe(fates, states, snapshots), **known, "keys": keys}
    remember(result, "fates", told, model=model, snapshots=snapshots)
    return result


def summary(fates: "Fates", states: "TerminalStates") -> dict[str, Any]:
    """Return the fates in figures, as plain values: what the JSON of the command says."""
    return {
        "names": list(fates.names),
        "terminal_states": [
            {"name": name, "n_cells": n, "source": source, "reason": reason}
            for name, n, source, reason in zip(
                states.names, states.n_cells, states.sources, states.reasons, strict=True
            )
        ],
        "left_out": [{"name": name, "reason": reason} for name, reason in states.left_out],
        "method": fates.method,
        "growth": fates.growth,
        "n_members": fates.n_members,
        "n_draws": fates.n_draws,
        "n_cells": len(fates.known),
        "n_without_fate": int((~fates.known).sum()),
        "mean": [_number(value) for value in np.nanmean(fates.probabilities, axis=0)]
        if fates.known.any()
        else [],
        "mean_certainty": _number(np.nanmean(fates.certainty)) if fates.known.any() else None,
        "unsupported": _number(fates.unsupported.mean()),
        "message": fates.message,
    }


def by_cell(
    fates: "Fates", snapshots: "Snapshots", names: "Sequence[str]", *, labels: np.ndarray | None = None
) -> pd.DataFrame:
    """Return one row for each cell: its name, time and type, its fates with intervals, and how far supported.

    A fate that is called as one of the other columns are is written as "name (fate)".

    Parameters
    ----------
    names : (n_obs,)
        Names of the cells of the data set.
    """
    table = {
        "cell": np.asarray(names, dtype=object)[snapshots.cells],
        "time": [snapshots.axis.name(int(k)) for k in snapshots.time_index],
    }
    if labels is not None:
        table["type"] = np.asarray(labels, dtype=object)
    for f, name in enumerate(_apart(fates.names, table)):
        table[name] = fates.probabilities[:, f]
        if fates.low is not None:
            table[f"{name} low"], table[f"{name} high"] = fates.low[:, f], fates.high[:, f]
        if fates.without_growth is not None:
            table[f"{name} without growth"] = fates.without_growth[:, f]
    table["certainty"] = fates.certainty
    table["reached"], table["unsupported"] = fates.reached, fates.unsupported
    return pd.DataFrame(table)


def _apart(names: "Sequence[str]", table: "Mapping[str, Any]") -> list[str]:
    fixed = {*table, "certainty", "reached", "unsupported"}
    return [f"{name} (fate)" if name in fixed else name for name in names]


def csv(table: pd.DataFrame) -> str:
    """Return a table as CSV that is safe to open in a spreadsheet: no text is taken for a formula."""
    safe = table.copy()
    for place in range(safe.shape[1]):
        column = safe.iloc[:, place]
        if not pd.api.types.is_numeric_dtype(column):
            safe.isetitem(place, column.astype(object).map(as_text))
    safe.columns = [as_text(column) for column in safe.columns]
    return safe.to_csv(index=False, float_format="%.6g", lineterminator=LINE_END)


def _taken(adata: "AnnData") -> set[str]:
    """Names of the input under which fates would be written."""
    return {key for key in (FATES, LINEAGES) if key in adata.obsm} | ({STATES} & set(adata.obs.columns))


def _recipe(fates: "Fates", states: "TerminalStates", snapshots: "Snapshots") -> dict[str, Any]:
    return {
        "names": np.array(fates.names, dtype=object),
        "terminal_states": json.dumps(to_json(states, snapshots)),
        "method": fates.method,
        "growth": fates.growth,
        "n_members": fates.n_members,
        "n_draws": fates.n_draws,
        "interval": "80 %" if fates.low is not None else "none: one training only",
        "message": fates.message,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
