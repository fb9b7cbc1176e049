"""Batches that nest in the times are told from those that do not."""

import numpy as np
import pandas as pd
import pytest

from dynamics.checks_batches import batch_findings, nesting
from dynamics.checks_time import read_axis
from dynamics.roles import Roles

DAYS = np.repeat([0, 2, 7], 60)


def found(batch, *, key="batch", days=DAYS, roles=None):
    obs = pd.DataFrame({"day": days, key: batch})
    roles = roles or Roles(time_key="day", batch_key=key)
    axis, index, _ = read_axis(obs, roles)
    return list(batch_findings(obs, roles, axis=axis, index=index))


def codes(*args, **options):
    return [finding.code for finding in found(*args, **options)]


def replicates(days):
    return [f"day{day}_rep{k % 2 + (day == 7) * (k % 3 == 0)}" for k, day in enumerate(days)]


def test_replicates_of_each_time_are_named_with_their_numbers():
    (finding,) = found(replicates(DAYS), key="sample")
    assert (finding.level, finding.code) == ("warning", "batch-is-time")
    assert "day 0: 2, day 2: 2, day 7: 3" in finding.message
    assert '"sample"' in finding.message


def test_one_batch_at_each_time_is_told():
    (finding,) = found(pd.Categorical(np.repeat(["x", "y", "z"], 60)))
    assert finding.code == "batch-is-time"
    assert "every time is one batch" in finding.message


def test_a_few_strayed_cells_do_not_hide_it():
    batch = np.repeat(["x", "y", "z"], 60)
    batch[:2] = "y"
    assert codes(batch) == ["batch-is-time"]
    batch[:20] = "y"
    assert codes(batch) != ["batch-is-time"]


@pytest.mark.parametrize("copy", [DAYS, DAYS.astype(float), DAYS.astype(str), pd.Categorical(DAYS)])
def test_a_copy_of_the_time_is_only_noted(copy):
    (finding,) = found(copy)
    assert (finding.level, finding.code) == ("note", "batch-copies-time")


def test_numbered_batches_that_are_not_the_times_are_no_copy():
    assert codes(np.repeat([2, 7, 0], 60)) == ["batch-is-time"]


def test_neighbouring_times_without_a_common_batch_are_noted():
    batch = np.r_[np.tile(["x", "y"], 60), np.repeat("z", 60)]
    (finding,) = found(batch)
    assert (finding.level, finding.code) == ("note", "batch-gaps")
    assert "day 2 and day 7" in finding.message
    assert "day 0 and day 2" not in finding.message


@pytest.mark.parametrize(
    "batch",
    [
        np.repeat("one", 180),
        np.tile(["x", "y", "z"], 60),
        np.r_[np.repeat("x", 100), np.repeat("y", 80)],  # a chain: x spans 0 and 2, y spans 2 and 7
        np.full(180, None),
        [f"b{k}" for k in range(180)],  # each cell its own
    ],
)
def test_sound_or_useless_columns_stay_quiet(batch):
    assert codes(batch) == []


def test_missing_values_are_left_out():
    batch = np.repeat(np.array(["x", "y", "z"], dtype=object), 60)
    batch[::7] = None
    assert codes(batch) == ["batch-is-time"]


def test_without_the_role_columns_with_the_name_of_a_batch_are_looked_at():
    roles = Roles(time_key="day")
    assert codes(replicates(DAYS), key="library_id", roles=roles) == ["batch-is-time"]
    assert codes(replicates(DAYS), key="colour", roles=roles) == []
    obs = pd.DataFrame({"day": DAYS, "library_id": replicates(DAYS), "donor": np.tile(["a", "b", "c"], 60)})
    axis, index, _ = read_axis(obs, roles)
    assert not list(batch_findings(obs, roles, axis=axis, index=index))  # donors link the times


def test_one_time_or_none_says_nothing():
    assert codes(np.tile(["x", "y"], 90), days=np.zeros(180)) == []
    obs = pd.DataFrame({"batch": ["x", "y"]})
    assert not list(batch_findings(obs, Roles(batch_key="batch"), axis=None, index=np.array([-1, -1])))


def test_times_that_no_batch_names_are_passed_over():
    batch = np.repeat(np.array(["x", None, "x"], dtype=object), 60)
    batch[:5] = "y"
    obs = pd.DataFrame({"day": DAYS, "batch": batch})
    roles = Roles(time_key="day", batch_key="batch")
    known = nesting(obs, roles, "batch", index=read_axis(obs, roles)[1])
    assert known.times == (0, 2)
    assert known.gaps == ()
