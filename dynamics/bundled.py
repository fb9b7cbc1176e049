"""Two small data sets that scanpy brings along, made ready to open; nothing is downloaded."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd

RUN_LENGTH = 160  # states of one simulated run in krumsiek11, in order
WINDOW = 32  # consecutive states of a run that count as one sampling time


def krumsiek11(*, seed: int = 0) -> ad.AnnData:
    """Return four simulated runs of a myeloid network, cut into five time windows.

    The states are as scanpy has them. Added are `obs["run"]` and `obs["time"]`, the middle of the window of
    simulation steps in which a state lies. `seed` is not used: the data are fixed.

    References
    ----------
    Krumsiek et al., Hierarchical differentiation of myeloid progenitors is encoded in the transcription
    factor network, PLoS ONE 2011.
    """
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Observation names are not unique", category=UserWarning)
        adata = sc.datasets.krumsiek11()
    step = np.arange(adata.n_obs) % RUN_LENGTH
    run = np.arange(adata.n_obs) // RUN_LENGTH
    adata.obs_names = [f"run{r + 1}-step{s:03d}" for r, s in zip(run, step, strict=True)]
    adata.obs["time"] = step // WINDOW * WINDOW + WINDOW / 2
    adata.obs["run"] = pd.Categorical([f"run {r + 1}" for r in run])
    adata.uns.pop("highlights", None)  # keyed by integers, which h5ad cannot hold
    adata.uns["simulation"] = {"name": "krumsiek11", "time_unit": "simulation step"}
    return adata


def pbmc68k_reduced(*, seed: int = 0) -> ad.AnnData:
    """Return 700 blood cells of one donor, as scanpy has them; `seed` is not used: the data are fixed.

    References
    ----------
    Zheng et al., Massively parallel digital transcriptional profiling of single cells, Nature Communications
    2017.
    """
    import scanpy as sc

    return sc.datasets.pbmc68k_reduced()
