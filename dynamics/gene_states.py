"""Genes themselves as states, for small panels: the log expression of all genes."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.basis import log_expression

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles

REP = "X_genes"
MOST_GENES = 200


def with_gene_states(adata: "AnnData", roles: "Roles") -> "AnnData":
    """Add the log expression of all genes as an array of states, where there are 2 to 200 genes.

    The data set is changed in place and returned; one that has the array, or other numbers of genes, is left
    as it is.
    """
    if REP in adata.obsm or not 2 <= adata.n_vars <= MOST_GENES:
        return adata
    levels = log_expression(adata, roles)
    if levels is None:
        return adata
    levels = levels.toarray() if sparse.issparse(levels) else np.asarray(levels)
    if np.isfinite(levels).all():
        adata.obsm[REP] = levels.astype(np.float32)
    return adata
