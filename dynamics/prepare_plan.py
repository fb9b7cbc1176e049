"""What preparing a data set will do, told before it is done."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics.embedding import SKETCH_ABOVE, SKETCH_SIZE
from dynamics.errors import DataError
from dynamics.neighbours import EXACT_UP_TO
from dynamics.prepare_config import PrepareConfig
from dynamics.roles import Roles, detect
from dynamics.values import kind_of_values

if TYPE_CHECKING:
    from anndata import AnnData

TITLES = {
    "quality": "Quality control",
    "normalise": "Normalise",
    "log": "Logarithm",
    "genes": "Variable genes",
    "pca": "Principal components",
    "neighbours": "Neighbours",
    "umap": "UMAP",
}
DRAWN_AS_IS = 3  # states of so few dimensions are their own map


@dataclass(frozen=True)
class Step:
    """One step of preparing: `action` is "do", "reuse" or "skip", `reason` a sentence for the user."""

    name: str
    action: str
    reason: str

    @property
    def title(self) -> str:
        """Name for people."""
        return TITLES[self.name]


@dataclass(frozen=True)
class Found:
    """What a data set brings along.

    Parameters
    ----------
    kind, kind_reason
        Nature of the values in the matrix to start from, and what it was told from.
    source
        That matrix: "X", "raw" or a layer; None without genes.
    rep, rep_dim
        States that can be used as they are, and their width; None and 0 where there are none.
    embedding
        Map that can be drawn as it is, or None.
    trouble
        Why a rep or an embedding of the file cannot be used; by key.
    """

    n_cells: int
    n_genes: int
    kind: str
    kind_reason: str
    source: str | None
    rep: str | None
    rep_dim: int
    embedding: str | None
    trouble: dict[str, str]
    has_neighbours: bool
    n_variable: int


def look(adata: "AnnData", roles: Roles | None = None) -> Found:
    """See what is there to start from and to reuse."""
    roles = roles or detect(adata)
    kind, reason, source = _values(adata, roles)
    trouble: dict[str, str] = {}
    rep = _usable(adata, roles.rep, trouble)
    flags = adata.var.get("highly_variable")
    return Found(
        n_cells=adata.n_obs,
        n_genes=adata.n_vars,
        kind=kind,
        kind_reason=reason,
        source=source,
        rep=rep,
        rep_dim=np.shape(adata.obsm[rep])[1] if rep else 0,
        embedding=_usable(adata, roles.embedding, trouble),
        trouble=trouble,
        has_neighbours="connectivities" in adata.obsp and "neighbors" in adata.uns,
        n_variable=int(np.asarray(flags, dtype=bool).sum()) if flags is not None else 0,
    )


def steps_for(found: Found, config: PrepareConfig) -> list[Step]:
    """Decide on every step, in order.

    Raises
    ------
    DataError
        There is neither an expression matrix nor a representation to work with.
    """
    if found.kind == "none" and found.rep is None and found.embedding is None:
        listed = "; ".join(f"{key} {why}" for key, why in found.trouble.items())
        raise DataError(
            "There is nothing to prepare: no expression matrix and no usable array in obsm"
            + (f" ({listed})" if listed else "")
            + ". Add X, or an array such as obsm['X_pca'], and open the file again."
        )
    pca = _pca(found, config)
    umap = _umap(found, config, pca)
    return [
        _quality(found, config),
        _normalise(found, config),
        _log(found, config),
        _genes(found, config, pca),
        pca,
        _neighbours(found, config, pca, umap),
        umap,
    ]


def _values(adata: "AnnData", roles: Roles) -> tuple[str, str, str | None]:
    """Kind of the values to start from, what it was told from, and where they are."""
    kind, reason = kind_of_values(adata.X)
    source: str | None = None if kind == "none" else "X"
    if kind in ("scaled", "other", "none") and roles.counts_layer not in (None, "X"):
        matrix = _layer(adata, roles.counts_layer)
        if matrix is not None:
            why = f"{roles.counts_layer} holds the counts, and is used instead of X. {reason}"
            return "counts", why, roles.counts_layer
    return kind, reason, source


def _layer(adata: "AnnData", name: str) -> Any:
    """A layer of that name, or raw where it has the same genes as X."""
    if name in adata.layers:
        return adata.layers[name]
    if name == "raw" and adata.raw is not None and adata.raw.n_vars == adata.n_vars:
        return adata.raw.X if bool((adata.raw.var_names == adata.var_names).all()) else None
    return None


def _usable(adata: "AnnData", key: str | None, trouble: dict[str, str]) -> str | None:
    """The key, unless its array is missing, not finite or all the same; then the trouble is noted."""
    if key is None or key not in adata.obsm:
        return None
    values = np.asarray(adata.obsm[key], dtype=np.float64)
    n_bad = int((~np.isfinite(values)).any(axis=1).sum())
    if n_bad:
        trouble[key] = f"has missing or infinite values in {n_bad:,} of {len(values):,} cells"
    elif len(values) > 1 and not np.ptp(values, axis=0).any():
        trouble[key] = "puts all cells in one place"
    return None if key in trouble else key


def _forced(name: str, mode: str) -> Step | None:
    """The step, where the settings leave no choice."""
    return Step(name, "skip", "Skipped, as you chose.") if mode == "skip" else None


def _quality(found: Found, config: PrepareConfig) -> Step:
    if forced := _forced("quality", config.quality):
        return forced
    if found.kind == "none":
        return Step("quality", "skip", "There are no genes.")
    if found.kind != "counts":
        reason = f"It needs counts, and there are none. {found.kind_reason}"
        return Step("quality", "skip", reason)
    if config.quality == "auto" and (found.rep or found.embedding):
        there = found.rep or found.embedding
        return Step("quality", "skip", f"The cells were chosen already: {there} is in the file.")
    return Step("quality", "do", "Cells and genes that stand apart from the others are removed.")


def _normalise(found: Found, config: PrepareConfig) -> Step:
    if forced := _forced("normalise", config.normalise):
        return forced
    if found.kind == "counts" or (found.kind == "normalised" and config.normalise == "redo"):
        return Step("normalise", "do", f"Every cell is scaled to the same total. {found.kind_reason}")
    reasons = {
        "none": "There are no genes.",
        "log": f"Not needed: {_lower(found.kind_reason)}",
        "normalised": f"Done already: {_lower(found.kind_reason)}",
        "scaled": f"Not possible on z-scores: {_lower(found.kind_reason)}",
    }
    return Step("normalise", "skip", reasons.get(found.kind, f"Taken as they are. {found.kind_reason}"))


def _log(found: Found, config: PrepareConfig) -> Step:
    if forced := _forced("log", config.log):
        return forced
    if found.kind in ("counts", "normalised"):
        return Step("log", "do", "Log(1 + x) is taken, so that strong genes do not outweigh all others.")
    reasons = {
        "none": "There are no genes.",
        "log": f"Done already: {_lower(found.kind_reason)}",
        "scaled": "Not possible on z-scores.",
    }
    return Step("log", "skip", reasons.get(found.kind, f"Taken as they are. {found.kind_reason}"))


def _genes(found: Found, config: PrepareConfig, pca: Step) -> Step:
    if forced := _forced("genes", config.genes):
        return forced
    if found.kind == "none":
        return Step("genes", "skip", "There are no genes.")
    if pca.action != "do" and config.genes == "auto":
        return Step("genes", "skip", "Not needed, since no principal components are computed.")
    if found.kind in ("scaled", "other"):
        return Step(
            "genes", "skip", f"All {found.n_genes:,} genes are used; ranking needs counts or log values."
        )
    if found.n_variable > 1 and config.genes == "auto":
        return Step("genes", "reuse", f"The file marks {found.n_variable:,} genes as highly variable.")
    if found.n_genes <= config.n_top_genes:
        return Step("genes", "do", f"All {found.n_genes:,} genes are used; there are no more to choose from.")
    chosen, total = f"{config.n_top_genes:,}", f"{found.n_genes:,}"
    return Step("genes", "do", f"The {chosen} most variable of {total} genes are marked; all genes stay.")


def _pca(found: Found, config: PrepareConfig) -> Step:
    if forced := _forced("pca", config.pca):
        return forced
    if found.kind == "none":
        if found.rep is None:
            return Step("pca", "skip", "There are no genes.")
        return Step("pca", "reuse", f"{found.rep} ({found.rep_dim} dimensions) describes the cells.")
    if config.pca == "auto" and found.rep:
        return Step("pca", "reuse", f"{found.rep} ({found.rep_dim} dimensions) is in the file.")
    broken = [f"{key} {why}" for key, why in found.trouble.items()]
    note = f" The file's own cannot be used: {'; '.join(broken)}." if broken and not found.rep else ""
    n_comps = min(config.n_pcs, found.n_cells - 1, found.n_genes)
    if found.kind == "scaled":
        return Step("pca", "do", f"Up to {n_comps} components, directly from the z-scores.{note}")
    return Step("pca", "do", f"Up to {n_comps} components are computed.{note}")


def _umap(found: Found, config: PrepareConfig, pca: Step) -> Step:
    if forced := _forced("umap", config.umap):
        return forced
    again = "redo" in (config.umap, config.pca, config.neighbours)
    if found.embedding and not again:
        return Step("umap", "reuse", f"{found.embedding} is in the file.")
    width = min(found.n_genes, config.n_pcs) if pca.action == "do" else found.rep_dim
    if width == 0:
        return Step("umap", "skip", "There are no states to make a map from.")
    if width <= DRAWN_AS_IS and config.umap != "redo":
        what = "The components" if pca.action == "do" else found.rep
        return Step("umap", "skip", f"{what} can be drawn as they are, with {width} dimensions.")
    where = "in space" if config.n_map_dims == 3 else "flat"
    if found.n_cells > SKETCH_ABOVE:
        reason = f"A map ({where}) of {SKETCH_SIZE:,} cells; the others are placed by their neighbours."
        return Step("umap", "do", reason)
    broken = found.trouble.get("X_umap")
    note = f" X_umap of the file is replaced, because it {broken}." if broken else ""
    return Step("umap", "do", f"A map ({where}) of all {found.n_cells:,} cells.{note}")


def _neighbours(found: Found, config: PrepareConfig, pca: Step, umap: Step) -> Step:
    if forced := _forced("neighbours", config.neighbours):
        return forced
    if found.has_neighbours and config.neighbours == "auto" and pca.action != "do":
        return Step("neighbours", "reuse", "A neighbour graph is in the file.")
    if umap.action != "do" and config.neighbours == "auto":
        return Step("neighbours", "skip", "Not needed, since no map is computed.")
    if pca.action != "do" and found.rep is None:
        return Step("neighbours", "skip", "There are no states to compare.")
    how = "exactly" if found.n_cells <= EXACT_UP_TO else "approximately, about 1 in 100 is missed"
    return Step("neighbours", "do", f"The {config.n_neighbours} nearest cells of each cell are found, {how}.")


def _lower(sentence: str) -> str:
    """A sentence as the second half of another."""
    return sentence[:1].lower() + sentence[1:]
