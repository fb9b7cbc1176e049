"""Prepare a data set: quality control, normalise, log, variable genes, components, neighbours, UMAP.

What is there already is reused, and every step says beforehand what it will do and why.
"""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics import embedding, expression, neighbours, quality
from dynamics.errors import DataError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.prepare_config import PrepareConfig
from dynamics.prepare_plan import Found, Step, look, steps_for

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles

__all__ = ["PrepareConfig", "Step", "plan", "prepare"]

FEWEST_CELLS = 5
ON_MATRIX = ("quality", "normalise", "log", "genes", "pca")
RECORD_KEY = "driftscope_prepare"
SHARES = {  # of the whole time, roughly
    "quality": 0.05,
    "normalise": 0.05,
    "log": 0.03,
    "genes": 0.07,
    "pca": 0.15,
    "neighbours": 0.15,
    "umap": 0.5,
}


def plan(
    adata: "AnnData", config: PrepareConfig | None = None, *, roles: "Roles | None" = None
) -> list[Step]:
    """Say for each step whether it will be done, reused or skipped, and why.

    Parameters
    ----------
    roles
        What the parts of the data set mean; detected where not given.
    """
    return steps_for(look(adata, roles), config or PrepareConfig())


def prepare(
    adata: "AnnData",
    config: PrepareConfig | None = None,
    *,
    roles: "Roles | None" = None,
    progress: Progress = no_progress,
) -> "AnnData":
    """Prepare a data set; the given one is not changed.

    Afterwards X holds log-normalised values of all genes, `layers["counts"]` the counts if there were any,
    `var["highly_variable"]`, `varm["PCs"]`, `obsm["X_pca"]`, the neighbour graph and `obsm["X_umap"]` what
    their names say, and `uns["driftscope_prepare"]` what was done. Columns of `obs` stay as they are.

    Raises
    ------
    DataError
        The values cannot be used, or too few cells are left.
    Stopped
        `progress` returned False.
    """
    config = config or PrepareConfig()
    found = look(adata, roles)
    steps = steps_for(found, config)
    work = Work(_start(adata, found, steps), found, config)
    work.has_graph = any(step.name == "neighbours" and step.action == "reuse" for step in steps)
    to_do = [step for step in steps if step.action == "do"]
    whole, done = sum(SHARES[step.name] for step in to_do), 0.0
    for step in to_do:
        _tell(progress, done / whole, f"{step.title} …")
        DO[step.name](work)
        done += SHARES[step.name]
    _tell(progress, 1.0, "Prepared")
    work.adata.uns[RECORD_KEY] = _record(adata, work, steps)
    return work.adata


@dataclass
class Work:
    """A data set on its way through the steps, with what was noted on it."""

    adata: "AnnData"
    found: Found
    config: PrepareConfig
    notes: dict[str, Any] = field(default_factory=dict)
    has_graph: bool = False
    """Whether the neighbour graph in it belongs to its states."""

    def states(self) -> np.ndarray:
        """What neighbours and map are made from, (n_cells, dim): leading components, or all of the rep."""
        states = np.asarray(self.adata.obsm[self.rep], np.float32)
        return states[:, : self.config.n_map_pcs] if self.rep == "X_pca" else states

    @property
    def rep(self) -> str:
        """Key in `obsm` of the states."""
        return "X_pca" if "n_pcs" in self.notes else self.found.rep or "X_pca"


def _start(adata: "AnnData", found: Found, steps: list[Step]) -> "AnnData":
    """Copy the data set, with the matrix to start from in X as clean float32 if a step reads it."""
    if adata.n_obs < FEWEST_CELLS:
        raise DataError(f"The data set has {adata.n_obs} cells; at least {FEWEST_CELLS} are needed.")
    result = adata.copy()
    reads_matrix = any(step.name in ON_MATRIX and step.action == "do" for step in steps)
    if found.source is None or not reads_matrix:
        return result
    chosen = _matrix(adata, found.source)
    result.X = expression.as_float32(chosen, found.source)
    if found.kind == "counts" and "counts" not in result.layers:
        result.layers["counts"] = result.X.copy()
    return result


def _matrix(adata: "AnnData", source: str) -> Any:
    """The matrix called "X", "raw", or the layer of that name."""
    if source == "X":
        return adata.X
    return adata.raw.X if source == "raw" else adata.layers[source]


def _tell(progress: Progress, fraction: float, message: str) -> None:
    if not progress(fraction, message):
        raise Stopped


def _quality(work: Work) -> None:
    """Remove cells and genes that do not pass, and note how many."""
    adata = work.adata
    metrics = quality.metrics(adata, layer="X")
    limits = thresholds(metrics, work.config)
    cells, genes = quality.kept_cells(metrics, limits), quality.kept_genes(metrics, limits)
    if cells.sum() < FEWEST_CELLS or not genes.any():
        raise DataError(
            f"Quality control would keep {cells.sum():,} of {len(cells):,} cells and {genes.sum():,} of "
            f"{len(genes):,} genes. Loosen the thresholds ({_in_words(limits)}) or skip quality control."
        )
    for name, values in {
        "total_counts": metrics.total,
        "n_genes_by_counts": metrics.n_genes,
        "pct_counts_mt": metrics.mitochondrial,
    }.items():
        if values is not None and name not in adata.obs:
            adata.obs[name] = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
    if not (cells.all() and genes.all()):
        work.adata = adata[cells, genes].copy()
    work.notes |= {
        "cells_removed": int((~cells).sum()),
        "cells_without_counts": int((metrics.total == 0).sum()),
        "genes_removed": int((~genes).sum()),
        "thresholds": _in_words(limits),
    }


def thresholds(metrics: quality.QualityMetrics, config: PrepareConfig) -> quality.Thresholds:
    """Thresholds of the settings, with those from the data where none are set."""
    proposed = quality.suggest(metrics)
    names = ("min_counts", "max_counts", "min_genes", "max_mitochondrial", "min_cells")
    chosen = {name: getattr(config, name) for name in names}
    return quality.Thresholds(
        **{name: getattr(proposed, name) if value is None else value for name, value in chosen.items()}
    )


def _in_words(limits: quality.Thresholds) -> str:
    """Thresholds as a line of text."""
    words = {
        "counts at least": limits.min_counts,
        "counts at most": limits.max_counts,
        "genes at least": limits.min_genes,
        "mitochondrial percent at most": limits.max_mitochondrial,
        "cells per gene at least": limits.min_cells,
    }
    return ", ".join(f"{what} {value:g}" for what, value in words.items() if value is not None)


def _normalise(work: Work) -> None:
    work.notes["target_sum"] = expression.normalise(work.adata, work.config.target_sum)


def _log(work: Work) -> None:
    expression.logarithm(work.adata)


def _genes(work: Work) -> None:
    work.notes["n_variable_genes"] = expression.variable_genes(work.adata, work.config.n_top_genes)


def _pca(work: Work) -> None:
    work.notes["n_pcs"] = expression.principal_components(
        work.adata, work.config.n_pcs, seed=work.config.seed
    )


def _neighbours(work: Work) -> None:
    """Store the neighbour graph where scanpy looks for it."""
    states, config = work.states(), work.config
    found = neighbours.nearest(states, config.n_neighbours, seed=config.seed)
    work.has_graph = True
    work.adata.obsp["distances"] = neighbours.distance_graph(found)
    work.adata.obsp["connectivities"] = neighbours.fuzzy_graph(found)
    work.adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {
            "n_neighbors": found.k,
            "method": "umap",
            "metric": "euclidean",
            "random_state": config.seed,
            "use_rep": work.rep,
            "n_pcs": states.shape[1],
        },
    }
    work.notes["neighbours_exact"] = found.exact


def _umap(work: Work) -> None:
    """Store the map, and what is needed to place new states on it."""
    states, config, adata = work.states(), work.config, work.adata
    settings = {
        "n_neighbours": config.n_neighbours,
        "n_components": config.n_map_dims,
        "min_dist": config.min_dist,
        "seed": config.seed,
    }
    adata.obs.drop(columns=embedding.REFERENCE_KEY, errors="ignore", inplace=True)
    if len(states) > embedding.SKETCH_ABOVE:
        fitted, chosen = embedding.fit_sketch(states, **settings)
        adata.obsm["X_umap"] = fitted.transform(states, refine=False)
        adata.obs[embedding.REFERENCE_KEY] = chosen
    else:
        graph = adata.obsp["connectivities"] if work.has_graph else None
        fitted = embedding.fit(states, graph=graph, **settings)
        adata.obsm["X_umap"] = fitted.coordinates
    adata.uns["umap"] = {
        "params": {
            "a": fitted.a,
            "b": fitted.b,
            "random_state": config.seed,
            "n_neighbors": fitted.n_neighbours,
            "min_dist": config.min_dist,
            "metric": "euclidean",
            "use_rep": work.rep,
            "n_pcs": states.shape[1],
        }
    }


DO = {
    "quality": _quality,
    "normalise": _normalise,
    "log": _log,
    "genes": _genes,
    "pca": _pca,
    "neighbours": _neighbours,
    "umap": _umap,
}


def _record(before: "AnnData", work: Work, steps: list[Step]) -> dict[str, Any]:
    """What was done, in a form that h5ad can hold."""
    after = work.adata
    return {
        "settings": json.dumps(work.config.to_json()),
        "steps": json.dumps(
            [{"name": step.name, "action": step.action, "reason": step.reason} for step in steps]
        ),
        "cells_before": before.n_obs,
        "cells_after": after.n_obs,
        "genes_before": before.n_vars,
        "genes_after": after.n_vars,
        "values": work.found.kind,
        "source": work.found.source or "",
        "is_sparse": bool(sparse.issparse(after.X)),
        **work.notes,
    }
