"""Honest files, however odd, open with exactly their own values, and whatever is odd is said."""

import pytest

from dynamics.inspect import inspect
from dynamics.read import read_h5ad, read_notes, write_h5ad
from jobs.precheck import check
from tests.hostile import (
    honest,
    honest_arrays,
    honest_layouts,
    honest_matrices,
    honest_tables,
    honest_writers,
)
from tests.hostile.compare import same

FILLED_BY = (honest_arrays, honest_layouts, honest_matrices, honest_tables, honest_writers)


def test_the_catalogue_is_whole():
    makers = {make.__module__ for make in honest.CASES.values()}
    assert makers == {module.__name__ for module in FILLED_BY}
    assert len(honest.CASES) > 250


@pytest.mark.parametrize("name", honest.CASES)
def test_every_value_comes_out(name, tmp_path):
    truth = honest.write(name, tmp_path / "a.h5ad")
    read = read_h5ad(tmp_path / "a.h5ad", damaged=check(tmp_path / "a.h5ad"))
    same(read, truth)
    notes = read_notes(read)
    assert {note.code for note in notes} == set(truth.said), notes
    report = inspect(read)
    codes = {finding.code for finding in report.findings}
    assert codes >= set(truth.said) | set(truth.found), codes
    if truth.times is not None:
        assert report.times.labels == truth.times
    write_h5ad(read, tmp_path / "b.h5ad")
    again = read_h5ad(tmp_path / "b.h5ad", damaged=check(tmp_path / "b.h5ad"))
    same(again, truth)
    assert read_notes(again) == notes
