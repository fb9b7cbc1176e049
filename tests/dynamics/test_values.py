"""The kind of values is recognised, dense or sparse, whatever the scale."""

import re

import numpy as np
import pytest
from scipy import sparse

from dynamics.read import read_h5ad
from dynamics.values import kind_of_values


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.4, (300, 1))
    return rng.poisson(depth * rng.gamma(0.3, 3, (1, 400))).astype(np.float32)


def normalised(counts, total=1e4):
    return counts / counts.sum(axis=1, keepdims=True) * total


def scaled(counts):
    logged = np.log1p(normalised(counts))
    spread = logged.std(axis=0)
    return np.clip((logged - logged.mean(axis=0)) / np.where(spread == 0, 1, spread), -10, 10)


MAKERS = {
    "counts": lambda c: c,
    "counts as integers": lambda c: c.astype(np.int64),
    "log": lambda c: np.log1p(normalised(c)),
    "log of a subset of genes": lambda c: np.log1p(normalised(c))[:, ::3],
    "log, base 2": lambda c: np.log2(normalised(c, 1e6) + 1),
    "normalised": normalised,
    "normalised to one": lambda c: normalised(c, 1.0),
    "normalised subset": lambda c: normalised(c)[:, ::3],
    "scaled": scaled,
    "other: shifted": lambda c: np.log1p(normalised(c)) - 6,
    "other: yes or no": lambda c: c > 0,
    "other: complex": lambda c: c * (1 + 1j),
    "other: zero or one": lambda c: (c > 0).astype(np.float32),
    "other: few genes": lambda c: np.random.default_rng(1).gamma(2.0, 0.5, (300, 6)),
}


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("name", MAKERS)
def test_kinds(counts, name, layout):
    matrix = MAKERS[name](counts)
    kind, reason = kind_of_values(layout(matrix))
    assert kind == re.match("[a-z]+", name)[0], reason
    assert reason.endswith(".")


@pytest.mark.parametrize("matrix", [None, np.zeros((5, 0)), sparse.csr_matrix((5, 0))])
def test_no_matrix(matrix):
    assert kind_of_values(matrix)[0] == "none"


def test_missing_values_do_not_hide_the_kind(counts):
    spoilt = counts.copy()
    spoilt[::7, ::5] = np.nan
    assert kind_of_values(spoilt)[0] == "counts"


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("celegans_embryo_counts", "counts"),
        ("eb_phate2d", "none"),
        ("kang_ifnb_pbmc", "log"),
        ("larry_clones_small", "normalised"),
        ("pancreas_spliced_unspliced", "counts"),
        ("reprogramming_3day", "log"),
        ("sim_boolode_gsd", "other"),
        ("sim_dyngen_branching", "counts"),
        ("sim_threegene_growth_2d", "other"),
    ],
)
def test_kinds_of_real_data(shared_data, file, kind):
    assert kind_of_values(read_h5ad(shared_data / f"{file}.h5ad").X)[0] == kind
