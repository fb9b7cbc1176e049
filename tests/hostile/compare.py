"""Whether a data set is what the truth says."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from tests.hostile.honest import Truth


def dense(values: Any) -> np.ndarray:
    """Any matrix as an array."""
    if isinstance(values, pd.DataFrame):
        return values.to_numpy()
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def same(read: AnnData, truth: Truth) -> None:
    """Raise AssertionError where a value, name, order or column differs."""
    assert list(read.obs_names) == truth.cells
    assert list(read.var_names) == truth.genes
    same_matrices(read, truth)
    for frame, columns in ((read.obs, truth.obs), (read.var, truth.var)):
        for name, values in columns.items():
            assert [plain(v) for v in frame[name]] == [plain(v) for v in values], name
    for name, levels in truth.ordered.items():
        assert [plain(level) for level in read.obs[name].cat.categories] == [plain(v) for v in levels]
    for name, value in truth.uns.items():
        assert plain_tree(read.uns[name]) == value, name
    for name in truth.without:
        group, _, key = name.rpartition("/")
        assert key not in (getattr(read, group) if group else read.obs), name
        assert name != "raw" or read.raw is None


def same_matrices(read: AnnData, truth: Truth) -> None:
    """Raise AssertionError where a matrix differs."""
    assert (read.X is None) == (truth.x is None)
    if truth.x is not None:
        np.testing.assert_array_equal(dense(read.X), dense(truth.x))
    if truth.raw is not None:
        np.testing.assert_array_equal(dense(read.raw.X), dense(truth.raw))
    for got, wanted in ((read.layers, truth.layers), (read.obsm, truth.obsm)):
        for name, values in wanted.items():
            np.testing.assert_array_equal(dense(got[name]), dense(values))


def plain(value: Any) -> Any:
    """A single value as text, number or None."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str) else float(value) if not isinstance(value, complex) else value


def plain_tree(value: Any) -> Any:
    """An entry of uns as plain lists and dictionaries."""
    if isinstance(value, dict):
        return {key: plain_tree(child) for key, child in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
