"""Copied cells are told from cells that agree because their values have few steps."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from dynamics.checks_copies import barcode_findings, copies, has_few_steps, row_marks
from dynamics.inspect import inspect

DAYS = np.repeat([0, 2, 7], 100)
TIMES = np.repeat([0, 1, 2], 100)


def codes(matrix, *, days=DAYS, rep=None):
    adata = AnnData(matrix, obs=pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(len(days))]))
    if rep is not None:
        adata.obsm["X_pca"] = rep
    return {finding.code: finding for finding in inspect(adata).findings}


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_marks_are_equal_for_equal_rows_only(rng, dtype):
    rows = rng.poisson(0.3, (3000, 6)).astype(dtype)
    marks, (_, group) = row_marks(rows), np.unique(rows, axis=0, return_inverse=True)
    pairs = np.unique(np.c_[group.ravel(), marks.astype(object)].astype(str), axis=0)
    assert len(pairs) == group.max() + 1 == len(np.unique(marks))


def test_marks_do_not_depend_on_the_form_of_the_matrix(rng):
    rows = rng.poisson(0.5, (50, 30)).astype(np.float32)
    stored = sparse.csr_matrix(rows)
    stored.data[::3] = 0  # zeros that are stored
    dense = stored.toarray()
    np.testing.assert_array_equal(row_marks(stored), row_marks(dense))
    np.testing.assert_array_equal(row_marks(stored.tocsc()), row_marks(-0.0 * rows + dense))
    assert row_marks(np.zeros((2, 3))).tolist() == [0, 0]
    assert len(row_marks(np.zeros((0, 3)))) == 0


def test_cells_are_counted_within_and_across_times():
    found = copies(np.array([1, 1, 2, 2, 3, 4, 4], np.uint64), np.array([0, 0, 0, 1, 1, 2, -1]))
    assert (found.repeated, found.across, found.known, found.is_tied) == (3, 2, 7, False)


def test_a_file_joined_twice_is_copied(rng):
    found = codes(np.tile(rng.poisson(2.0, (150, 300)), (2, 1)).astype(np.float32), days=np.tile([0, 2], 150))
    assert "150 of 300" in found["duplicate-cells"].message
    assert not {"cells-at-two-times", "tied-cells"} & set(found)


def test_copies_are_told_once_of_expression_and_states(rng):
    matrix, rep = rng.poisson(2.0, (150, 300)).astype(np.float32), rng.normal(size=(150, 6))
    found = codes(np.tile(matrix, (2, 1)), rep=np.tile(rep, (2, 1)), days=np.repeat([0, 2], 150))
    assert {"duplicate-cells", "cells-at-two-times"} <= set(found)
    assert not {"duplicate-states", "states-at-two-times"} & set(found)


def test_a_cell_at_two_times_is_a_leak(rng):
    matrix = rng.poisson(2.0, (300, 300)).astype(np.float32)
    matrix[100:110] = matrix[:10]
    found = codes(matrix)
    assert "20 of 300 cells" in found["cells-at-two-times"].message
    assert "held out" in found["cells-at-two-times"].fix


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_binary_panels_are_tied_not_copied(rng, form):
    found = codes(form(2.0 * (rng.random((300, 8)) < 0.2)))
    assert found["tied-cells"].level == "note"
    assert not {"duplicate-cells", "cells-at-two-times"} & set(found)


def test_narrow_continuous_panels_can_be_copied(rng):
    assert "duplicate-cells" in codes(np.tile(rng.gamma(2.0, size=(150, 5)), (2, 1)))
    assert not {"duplicate-cells", "tied-cells"} & set(codes(rng.gamma(2.0, size=(300, 5))))


def test_states_are_compared_up_to_rounding(rng):
    rep = rng.normal(size=(300, 6)).astype(np.float32)
    rep[100:130] = rep[:30] * np.float32(1 + 1e-7)
    found = codes(None, rep=rep)
    assert "30 of 300" in found["duplicate-states"].message
    assert "60 of 300" in found["states-at-two-times"].message
    assert not {"duplicate-states", "states-at-two-times"} & set(codes(None, rep=rng.normal(size=(300, 6))))


def test_states_at_a_floor_are_tied(rng):
    rep = np.maximum(rng.normal(size=(300, 2)), 0)
    found = codes(None, rep=rep)
    assert found["tied-states"].level == "note"
    assert "duplicate-states" not in found


def test_few_steps_are_told_from_many(rng):
    assert has_few_steps(rng.integers(0, 5, (500, 10)))
    assert not has_few_steps(rng.normal(size=(500, 10)))
    assert not has_few_steps(rng.integers(0, 5, (500, 300)))
    assert not has_few_steps(np.zeros((500, 0)))


def barcodes(rng, n):
    return ["".join(rng.choice(list("ACGT"), 16)) for _ in range(n)]


def test_barcodes_at_two_times_are_told_when_there_are_more_than_by_chance(rng):
    own = barcodes(rng, 200)
    twice = [f"{name}-1_a" for name in own[:100]] + [f"{name}-1_b" for name in own[:50] + own[150:]]
    obs = pd.DataFrame(index=[*twice, *(f"{name}-1_c" for name in own[100:150] + barcodes(rng, 50))])
    (finding,) = barcode_findings(AnnData(obs=obs), TIMES)
    assert finding.code == "barcodes-at-two-times"
    assert "100 of 300" in finding.message
    obs.index = [f"{name}-1" for name in barcodes(rng, 300)]
    assert not list(barcode_findings(AnnData(obs=obs), TIMES))
    obs["barcode"] = twice + twice[:100]
    obs.index = [f"c{k}" for k in range(300)]
    assert list(barcode_findings(AnnData(obs=obs), TIMES))


def test_names_that_are_no_barcodes_say_nothing():
    for index in ([f"cell{k}" for k in range(300)], [f"GATTACA{k}" for k in range(300)]):
        assert not list(barcode_findings(AnnData(obs=pd.DataFrame(index=index)), TIMES))
    assert not list(barcode_findings(AnnData(obs=pd.DataFrame(index=[])), np.empty(0, int)))
