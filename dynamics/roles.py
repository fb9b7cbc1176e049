"""Which column of a data set is the time, which the cell type, which matrix holds the counts, and why."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from dynamics.errors import DataError
from dynamics.time_column import find_time, plain_name
from dynamics.values import is_counts

if TYPE_CHECKING:
    from anndata import AnnData

COLUMN_ROLES = ("time_key", "cell_type_key", "condition_key", "batch_key")
MATRIX_ROLES = ("counts_layer", "spliced_layer", "unspliced_layer")

CELL_TYPE_NAMES = (
    r"cell_?types?(_annot\w*|_final|_major|_label\w*)?",
    r"cell_?types?_\w+|\w+_cell_?types?",
    r"cell_?(annotation|label|ontology_class|identity|class)s?",
    r"annotations?|annot(ated)?(_\w+)?|\w+_annotations?|majority_voting|predicted_labels?|labels?",
    r"state_info|cell_?states?",
    r"clusters?(_(fine|coarse|names?|labels?|annot\w*))?",
    r"leiden(_\w+)?|louvain(_\w+)?|phenograph|seurat_clusters|\w*clusters?",
    r"branch|milestones?(_id)?|identity|ident|lineages?",
)
CONDITION_NAMES = (
    r"conditions?|treatments?|stim(ulation|ulus)?|perturbations?|stimulated",
    r"genotypes?|disease(_\w+)?|drugs?|dose|cytokines?|knock(out|down)|guides?|sgrna|medium|media",
    r"group|status|\w+_(condition|treatment)|target",
)
BATCH_NAMES = (
    r"batch(es)?(_\w+)?|\w+_batch",
    r"donors?(_id)?|patients?(_id)?|individuals?|subjects?|animals?|mouse_id",
    r"replicates?|rep|libraries|library(_id|_prep|_name)?|plates?|channels?|lanes?|sequencing_\w+|sample_?(id|name)",
    r"(simulation_)?runs?|orig_ident|datasets?|tech(nology)?|experiments?|samples?|study|assay|embryo(_id)?",
)
CLONE_NAMES = (
    r"x_clones?|clones?(_?ids?)?|clonotypes?(_?ids?)?",
    r"\w*clone\w*|celltag\w*|lineage_?barcodes?|larry\w*|clonal_\w+",
)
COUNTS_NAMES = r"(raw_?)?counts?|raw|umis?|raw_?umis?|x_counts"
DERIVED = re.compile(
    r"velocity|fate|absorption|terminal|spatial|clone|(^|_)to_|lineages_|protein|adt|hashtag|(^|_)hto"
)
EMBEDDING_NAMES = (
    r"umap\w*|\w+_umap\w*",
    r"phate\w*",
    r"t?sne\w*|\w+_tsne\w*",
    r"draw_graph\w*|fa2?|fdl|force\w*|spring\w*|fle",
    r"emb(edding)?\w*|mde\w*|trimap|pacmap|vis\w*",
)
REP_NAMES = (
    r"pca",
    r"(pca_harmony|harmony|pca_\w+|\w+_pca)",
    r"(sc)?vi\w*|scanvi\w*|scpoli\w*|totalvi\w*|peakvi\w*|ldvae\w*|gears\w*|vae\w*",
    r"latent\w*|\w+_latent|scanorama|mnn\w*|fastmnn|cca|lsi|svd|nmf|factors?|emb(edding)?|scgpt\w*|geneformer\w*",
    r"diffmap|dm",
)


@dataclass(frozen=True)
class Roles:
    """What each part of a data set means, and from what that was told."""

    time_key: str | None = None
    cell_type_key: str | None = None
    condition_key: str | None = None
    batch_key: str | None = None
    clone_key: str | None = None
    """A column of `obs`, or a key of `obsm` that holds cells × clones."""
    rep: str | None = None
    """Key in `obsm` of the states in which dynamics are learned."""
    embedding: str | None = None
    """Key in `obsm` of the map, two or three columns."""
    counts_layer: str | None = None
    """"X", "raw" or a layer."""
    spliced_layer: str | None = None
    unspliced_layer: str | None = None
    time_values: Mapping[str, float] = field(default_factory=dict)
    """The user's own value of a time label."""
    time_unit: str | None = None
    time_as: str = "value"
    """"value" for real times, "index" for their order."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """For each role one sentence on what it was told from."""

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Roles":
        """Read what `to_json` gave; other keys are ignored."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


def detect(adata: "AnnData") -> Roles:
    """Tell the roles of a data set from names and contents.

    Parameters
    ----------
    adata
        With or without its matrix; counts can only be recognised where it is there.
    """
    reasons: dict[str, str] = {}
    time_key, time_unit = _time(adata.obs, reasons)
    used = {time_key}
    found = {}
    for role, names, allowed in (
        ("cell_type_key", CELL_TYPE_NAMES, _is_grouping),
        ("condition_key", CONDITION_NAMES, _is_grouping),
        ("batch_key", BATCH_NAMES, _is_grouping),
    ):
        found[role] = _by_name(adata.obs, names, allowed=allowed, used=used, role=role, reasons=reasons)
        used.add(found[role])
    if found["cell_type_key"] is None:
        found["cell_type_key"] = _any_grouping(adata.obs, used, reasons)
    rep = _rep(adata, reasons)
    return Roles(
        time_key=time_key,
        **found,
        clone_key=_clone(adata, used, reasons),
        rep=rep,
        embedding=_embedding(adata, reasons),
        counts_layer=_counts(adata, reasons),
        spliced_layer=_layer(adata, "spliced", reasons),
        unspliced_layer=_layer(adata, "unspliced", reasons),
        time_unit=time_unit,
        reasons=reasons,
    )


def check_roles(adata: "AnnData", roles: Roles) -> None:
    """See that every role names something that is there.

    Raises
    ------
    DataError
        A role names a column, array or layer that the data set does not have; the message lists those it has.
    """
    columns, arrays = list(adata.obs.columns), list(adata.obsm.keys())
    layers = [
        *(["X"] if adata.n_vars else []),
        *(["raw"] if adata.raw is not None else []),
        *adata.layers.keys(),
    ]
    places = {role: ("column", columns) for role in COLUMN_ROLES}
    places |= {"clone_key": ("column or array", columns + arrays)}
    wide = {key: _width(adata.obsm[key]) for key in arrays}
    places["rep"] = ("array", [key for key in arrays if wide[key]])
    places["embedding"] = ("array of two or three columns", [key for key in arrays if wide[key] in (2, 3)])
    if adata.X is not None:  # without the matrix the layers are not there either
        places |= {role: ("layer", layers) for role in MATRIX_ROLES}
    for role, (what, known) in places.items():
        name = getattr(roles, role)
        if name is not None and name not in known:
            listed = ", ".join(f'"{k}"' for k in known[:12]) or "none"
            word = role.removesuffix("_key").removesuffix("_layer").replace("_", " ")
            raise DataError(
                f'The {word} is set to "{name}", which is no {what} of this data set that fits. '
                f"It has: {listed}."
            )


def embeddings(adata: "AnnData") -> list[str]:
    """Arrays that can be drawn as a map (two or three columns), the best first."""
    flat = [
        key for key in adata.obsm if _width(adata.obsm[key]) in (2, 3) and not DERIVED.search(_plain(key))
    ]
    return sorted(flat, key=lambda key: (_rank(key, EMBEDDING_NAMES), _width(adata.obsm[key]), len(key)))


def representations(adata: "AnnData") -> list[str]:
    """Arrays in which states can be described, the best first; maps of two or three columns come last."""
    keys = [key for key in adata.obsm if _width(adata.obsm[key]) and not DERIVED.search(_plain(key))]

    def preference(key: str) -> tuple[int, int, int]:
        is_map = _width(adata.obsm[key]) <= 3 and _rank(key, REP_NAMES[:1]) > 0
        return (int(is_map), _rank(key, EMBEDDING_NAMES if is_map else REP_NAMES), len(key))

    return sorted(keys, key=preference)


def array(adata: "AnnData", key: str) -> np.ndarray:
    """An array of `obsm` as dense numbers, (n_cells, width)."""
    values = adata.obsm[key]
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _time(obs: pd.DataFrame, reasons: dict[str, str]) -> tuple[str | None, str | None]:
    candidate = find_time(obs)
    if candidate is None:
        return None, None
    reasons["time_key"] = candidate.reason
    return candidate.name, candidate.reading.unit or None


def _plain(key: str) -> str:
    return plain_name(key).removeprefix("x_")


def _rank(key: str, patterns: Sequence[str]) -> int:
    """Position of the first pattern that the whole key fits, the number of patterns where none does."""
    plain = _plain(key)
    return next((k for k, pattern in enumerate(patterns) if re.fullmatch(pattern, plain)), len(patterns))


def _width(values: Any) -> int:
    """Columns of a dense numeric array or table, 0 where it is anything else."""
    shape = getattr(values, "shape", ())
    if len(shape) != 2 or sparse.issparse(values):
        return 0
    if isinstance(values, pd.DataFrame):
        return shape[1] if all(pd.api.types.is_numeric_dtype(dtype) for dtype in values.dtypes) else 0
    return shape[1] if values.dtype.kind in "iuf" else 0


def _is_grouping(column: pd.Series) -> bool:
    """Whether a column sorts cells into groups."""
    if pd.api.types.is_float_dtype(column.dtype) and not _few_whole(column):
        return False
    n_groups = column.nunique()
    return 1 < n_groups <= min(500, max(2, len(column) // 2))


def _few_whole(column: pd.Series) -> bool:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[np.isfinite(values)]
    return bool(np.all(known == np.round(known))) and len(np.unique(known)) <= 100


def _by_name(
    obs: pd.DataFrame,
    patterns: Sequence[str],
    *,
    allowed: Callable[[pd.Series], bool],
    used: set[str | None],
    role: str,
    reasons: dict[str, str],
) -> str | None:
    """The column whose name fits the earliest pattern and whose contents are allowed."""
    ranked = sorted((_rank(name, patterns), k) for k, name in enumerate(obs.columns) if name not in used)
    for rank, k in ranked:
        name = obs.columns[k]
        if rank < len(patterns) and allowed(obs[name]):
            reasons[role] = f'named "{name}"; {obs[name].nunique():,} groups'
            return str(name)
    return None


def _any_grouping(obs: pd.DataFrame, used: set[str | None], reasons: dict[str, str]) -> str | None:
    """A categorical column that nothing else claimed, as a guess for the cell type."""
    for name in obs.columns:
        column = obs[name]
        is_text = isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object
        if (
            name not in used
            and is_text
            and 1 < column.nunique() <= 60
            and _rank(name, CLONE_NAMES) == len(CLONE_NAMES)
        ):
            reasons["cell_type_key"] = f'a guess: "{name}" sorts the cells into {column.nunique()} groups'
            return str(name)
    return None


def _clone(adata: "AnnData", used: set[str | None], reasons: dict[str, str]) -> str | None:
    for key in adata.obsm:
        if _rank(key, CLONE_NAMES) < len(CLONE_NAMES):
            reasons["clone_key"] = f'obsm["{key}"] holds {adata.obsm[key].shape[1]:,} clones'
            return key

    def repeats(column: pd.Series) -> bool:
        return (
            not pd.api.types.is_bool_dtype(column.dtype) and 1 < column.nunique() < 0.9 * column.notna().sum()
        )

    return _by_name(adata.obs, CLONE_NAMES, allowed=repeats, used=used, role="clone_key", reasons=reasons)


def _rep(adata: "AnnData", reasons: dict[str, str]) -> str | None:
    known = representations(adata)
    if not known:
        return None
    best = known[0]
    width = _width(adata.obsm[best])
    is_map = width <= 3 and _rank(best, REP_NAMES[:1]) > 0
    if is_map and adata.n_vars > 0:
        return None
    reasons["rep"] = f'obsm["{best}"] has {width} dimensions'
    if is_map:
        reasons["rep"] += "; nothing better is in the file, so dynamics would be learned on the map itself"
    return best


def _embedding(adata: "AnnData", reasons: dict[str, str]) -> str | None:
    known = embeddings(adata)
    if not known:
        return None
    reasons["embedding"] = f'obsm["{known[0]}"] has {_width(adata.obsm[known[0]])} dimensions'
    return known[0]


def _counts(adata: "AnnData", reasons: dict[str, str]) -> str | None:
    """The matrix that holds whole numbers: a layer named for it, X, raw, in this order."""
    named = [key for key in adata.layers if re.fullmatch(COUNTS_NAMES, _plain(key))]
    places = [*((key, adata.layers[key]) for key in named), ("X", adata.X)]
    if adata.raw is not None:
        places.append(("raw", adata.raw.X))
    for name, matrix in places:
        if matrix is not None and is_counts(matrix):
            reasons["counts_layer"] = f"{name} holds whole numbers"
            return name
    return None


def _layer(adata: "AnnData", wanted: str, reasons: dict[str, str]) -> str | None:
    for key in adata.layers:
        if _plain(key) in (wanted, f"{wanted}_counts", f"raw_{wanted}"):
            reasons[f"{wanted}_layer"] = f'a layer is named "{key}"'
            return key
    return None
