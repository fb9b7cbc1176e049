"""What a data set is, and what a user should know before going on."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics.checks_batches import batch_findings
from dynamics.checks_copies import barcode_findings
from dynamics.checks_depth import depth_findings
from dynamics.checks_matrix import cell_findings, map_findings, matrix_findings
from dynamics.checks_time import group_findings, read_axis
from dynamics.findings import Finding
from dynamics.roles import Roles, check_roles, detect
from dynamics.tables import read_notes
from dynamics.times import TimeAxis
from dynamics.values import kind_of_values

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Finding", "Report", "inspect"]

MATRIX_CODES = {
    "not-expression",
    "no-values",
    "x-not-finite",
    "x-r-missing",
    "empty-cells",
    "duplicate-cells",
    "tied-cells",
    "x-scaled",
    "x-not-logged",
    "x-other",
}
TIMED_MATRIX_CODES = {"cells-at-two-times", "depth-differs"}
"""Findings on the matrix that hold for one reading of the times."""
SAID_BY = {
    "duplicate-states": "duplicate-cells",
    "states-at-two-times": "cells-at-two-times",
    "tied-states": "tied-cells",
}
"""What was found in the states → what says the same of the expression that they were made from."""
LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Report:
    """What a data set is."""

    n_cells: int
    n_genes: int
    roles: Roles
    times: TimeAxis | None
    values: str
    """"counts", "log", "normalised", "scaled", "other" or "none"."""
    values_reason: str
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON; the times stand among the roles."""
        roles = self.roles.to_json()
        roles["times"] = []
        if self.times is not None:
            rows = zip(self.times.labels, self.times.values, self.times.n_cells, strict=True)
            roles["times"] = [{"label": label, "value": float(v), "n_cells": int(n)} for label, v, n in rows]
            if self.roles.time_as != "index":
                roles["time_unit"] = self.times.unit
        return {
            "n_cells": self.n_cells,
            "n_genes": self.n_genes,
            "roles": roles,
            "values": self.values,
            "values_reason": self.values_reason,
            "findings": [asdict(finding) for finding in self.findings],
        }


def inspect(
    adata: "AnnData", *, roles: Roles | None = None, earlier: Mapping[str, Any] | None = None
) -> Report:
    """Say what a data set is and what to know about it.

    Parameters
    ----------
    adata
        As `read_h5ad` gives it, or `read_cells`, whose missing matrix is then described by `earlier`.
    roles
        What the columns mean; detected where not given.
    earlier
        The `to_json` of a report made when the matrix was there.

    Raises
    ------
    DataError
        A role names something that the data set does not have.
    """
    picked = detect(adata) if roles is None else roles
    check_roles(adata, picked)
    axis, index, findings = read_axis(adata.obs, picked)
    if adata.X is None and adata.n_vars and earlier is not None:
        values, reason = str(earlier["values"]), str(earlier["values_reason"])
        lasting = MATRIX_CODES | (TIMED_MATRIX_CODES if _same_times(picked, earlier["roles"]) else set())
        kept = [Finding(**row) for row in earlier["findings"] if row["code"] in lasting]
    else:
        values, reason = kind_of_values(adata.X)
        kept = list(matrix_findings(adata, values, reason, index=index))
    findings += [*_other_findings(adata, picked, axis=axis, index=index, values=values), *kept]
    codes = {finding.code for finding in findings}
    findings = [finding for finding in findings if SAID_BY.get(finding.code) not in codes]
    unique = sorted(dict.fromkeys(findings), key=lambda finding: LEVELS.index(finding.level))
    return Report(adata.n_obs, adata.n_vars, picked, axis, values, reason, tuple(unique))


def _other_findings(
    adata: "AnnData", roles: Roles, *, axis: TimeAxis | None, index: np.ndarray, values: str
) -> Iterator[Finding]:
    yield from cell_findings(adata)
    yield from barcode_findings(adata, index)
    yield from batch_findings(adata.obs, roles, axis=axis, index=index)
    yield from group_findings(roles)
    yield from depth_findings(adata, roles, axis=axis, index=index)
    yield from map_findings(adata, roles, index=index, has_values=values != "none")
    yield from read_notes(adata)


def _same_times(roles: Roles, earlier: Mapping[str, Any]) -> bool:
    """Whether each cell has the time that it had when an earlier report was made."""
    return roles.time_key == earlier.get("time_key") and dict(roles.time_values) == earlier.get("time_values")
