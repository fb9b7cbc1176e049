"""Times come out in their true order, or the user is asked; what was assumed is said."""

import h5py
import numpy as np
import pytest

from dynamics.errors import TimeError
from dynamics.inspect import inspect
from dynamics.read import read_h5ad
from dynamics.roles import Roles
from dynamics.times import parse_times, read_labels
from jobs.precheck import check
from tests.hostile import honest
from tests.hostile.honest_times import CASES, Labels


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case.labels[:3])))
def test_labels_mean_what_people_mean(case):
    column = case.column()
    if case.values is None:
        with pytest.raises(TimeError, match=r"Choose a"):
            parse_times(column)
        return
    axis, index = parse_times(column)
    got = np.append(axis.values, np.nan)[index]
    np.testing.assert_allclose(got, np.array(case.values, dtype=float), rtol=1e-6)
    reading = read_labels(column)
    assert case.said in " ".join(reading.notes)
    unread = {str(label) for label, value in zip(case.labels, case.values, strict=True) if np.isnan(value)}
    assert set(reading.unreadable) == unread


def through_a_file(tmp_path, name, values, **more):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        obs = honest.modern(file)
        del obs["day"]
        for column, given in {name: values, **more}.items():
            honest.array(obs, column, given)
        honest.order(obs, [name, *more])
    return read_h5ad(tmp_path / "a.h5ad", damaged=check(tmp_path / "a.h5ad"))


SHORT = [case for case in CASES if case.values and not isinstance(case.labels[0], bool | int | float)]
SHORT = [case for case in SHORT if isinstance(case.labels[0], str) and case.categories is None]


@pytest.mark.parametrize("case", SHORT[::4], ids=lambda case: ", ".join(case.labels[:3]))
def test_the_page_shows_the_order_that_was_read(case: Labels, tmp_path):
    labels = np.resize(np.array(case.labels, dtype=object), honest.N)
    read = through_a_file(tmp_path, case.name, labels)
    report = inspect(read, roles=Roles(time_key=case.name))
    means = {label: value for label, value in zip(case.labels, case.values, strict=True) if value == value}
    by_value = sorted(set(means.values()))
    assert list(np.round(report.times.values, 5)) == [round(value, 5) for value in by_value]
    for label, value in zip(report.times.labels, by_value, strict=True):
        assert label.split(" + ")[0] in [text for text, meant in means.items() if meant == value]
    told = " ".join(finding.message for finding in report.findings)
    assert case.said in told
    if len(means) < len(case.labels):
        assert "cells-without-time" in {finding.code for finding in report.findings}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.arange(honest.N), "few-cells-at-time"),
        (np.arange(honest.N) % 2 == 0, "time-unreadable"),
        (np.where(np.arange(honest.N) % 3 == 0, np.nan, honest.DAYS), "cells-without-time"),
        (np.zeros(honest.N), "one-time"),
        (np.linspace(0, 1, honest.N), "few-cells-at-time"),
    ],
)
def test_odd_times_are_said(values, code, tmp_path):
    read = through_a_file(tmp_path, "time", values)
    assert code in {finding.code for finding in inspect(read, roles=Roles(time_key="time")).findings}


def test_a_time_that_is_the_batch_is_said(tmp_path):
    batches = np.array([f"run{day}" for day in honest.DAYS], dtype=object)
    report = inspect(through_a_file(tmp_path, "day", honest.DAYS, batch=batches))
    assert "batch-is-time" in {finding.code for finding in report.findings}
