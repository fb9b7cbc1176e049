"""What a method needs of a data set besides the states."""

from typing import TYPE_CHECKING

from dynamics.prior_growth import with_prior_growth
from dynamics.snapshots import Snapshots
from models.config import TrainConfig
from models.methods import settings_of

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles


def needs_genes(config: TrainConfig) -> bool:
    """Tell whether a recipe reads growth from the genes of each cell."""
    return getattr(settings_of(config), "growth_from", None) == "genes"


def complete(snapshots: Snapshots, config: TrainConfig, *, adata: "AnnData", roles: "Roles") -> Snapshots:
    """Return the snapshots with all that the recipe needs.

    Raises
    ------
    DataError
        Growth is to be read from genes, and too few of them are in the data set.
    """
    return with_prior_growth(snapshots, adata, roles) if needs_genes(config) else snapshots
