"""Terminal states: editing them, keeping them, and proposing them from types, flow and ends."""

import json

import numpy as np
import pytest
import torch
from scipy import sparse

from dynamics import proposals, terminal
from dynamics.errors import DataError
from dynamics.snapshots import from_arrays
from dynamics.transitions import Transitions, transitions
from tests.dynamics.fields import Function

SIDES = Function(2, lambda t, x: torch.stack([torch.sign(x[:, 0]) - 0.2 * x[:, 0], -x[:, 1]], dim=1))


@pytest.fixture
def states():
    """Three states of three, two and one cells, and four cells without."""
    return terminal.from_codes(np.array([0, 0, 0, 1, 1, 2, -1, -1, -1, -1]), ["a", "b", "c"], source="types")


@pytest.fixture
def snapshots(rng):
    """Two groups that part along the first axis."""
    start = np.column_stack([np.repeat([-1.0, 1.0], 150), np.zeros(300)]) + 0.3 * rng.normal(size=(300, 2))
    moved = start.copy()
    moved[:, 0] += 1.5 * np.sign(moved[:, 0])
    return from_arrays(np.concatenate([start, moved]), np.repeat([0.0, 2.0], 300))


def test_pick_makes_or_fills_a_state(states):
    more = terminal.pick(states, "new", np.array([6, 7]))
    assert more.names == ("a", "b", "c", "new")
    assert more.n_cells == (3, 2, 1, 2)
    assert more.sources[-1] == "hand"
    filled = terminal.pick(more, "b", np.array([0, 6]))
    assert filled.n_cells == (2, 4, 1, 1)
    assert states.n_cells == (3, 2, 1)


def test_a_state_that_loses_all_its_cells_is_gone(states):
    assert terminal.pick(states, "a", np.array([5])).names == ("a", "b")


def test_merge_and_its_name(states):
    merged = terminal.merge(states, ["c", "a"])
    assert merged.names == ("c", "b")
    assert list(merged.cells("c")) == [0, 1, 2, 5]
    assert terminal.merge(states, ["a", "b"], into="ab").names == ("ab", "c")
    with pytest.raises(DataError, match="another terminal state"):
        terminal.merge(states, ["a", "b"], into="c")
    with pytest.raises(DataError, match="two terminal states"):
        terminal.merge(states, ["a", "a"])


def test_split_by_cells_and_by_place(states):
    by_hand = terminal.split(states, "a", cells=np.array([1, 9]))
    assert by_hand.names == ("a 1", "b", "c", "a 2")
    assert list(by_hand.cells("a 2")) == [1]
    merged = terminal.merge(states, ["a", "b"])
    places = np.column_stack([[0, 0, 0, 9, 9, 0, 0, 0, 0, 0], np.zeros(10)])
    two = terminal.split(merged, "a", states_of_cells=places, names=("near", "far"))
    assert list(two.cells("near")) == [0, 1, 2]
    assert list(two.cells("far")) == [3, 4]
    with pytest.raises(DataError, match="Both parts"):
        terminal.split(states, "a", cells=np.array([0, 1, 2]))
    with pytest.raises(DataError, match="too few"):
        terminal.split(states, "b", states_of_cells=places)


def test_rename_and_remove(states):
    assert terminal.rename(states, "a", "  x   y ").names == ("x y", "b", "c")
    with pytest.raises(DataError, match="another terminal state"):
        terminal.rename(states, "a", "b")
    left = terminal.remove(states, "b")
    assert left.names == ("a", "c")
    assert list(left.cells("c")) == [5]
    with pytest.raises(DataError, match="There is no terminal state “d”"):
        terminal.remove(states, "d")


def test_forced_cells_stay_through_new_proposals(states):
    forced = terminal.force(states, "mine", np.array([0, 9]))
    picked = terminal.pick(forced, "b", np.array([0, 1]))
    assert list(picked.cells("mine")) == [0, 9]
    again = terminal.renewed(picked, states)
    assert list(again.cells("mine")) == [0, 9]
    assert list(again.cells("a")) == [1, 2]
    with pytest.raises(DataError, match="for good"):
        terminal.pick(forced, "b", np.array([9]))
    assert terminal.renewed(terminal.remove(picked, "mine"), states).names == states.names


@pytest.mark.parametrize("cells", [[], [10], [-1]])
def test_cells_that_are_not_there_are_refused(states, cells):
    with pytest.raises(DataError):
        terminal.pick(states, "a", np.array(cells, int))


def test_states_survive_json(snapshots):
    part = snapshots.take(np.arange(100, 600))
    codes = np.full(500, -1)
    codes[300:310], codes[400:405] = 0, 1
    states = terminal.from_codes(codes, ["=a", "b"], source="flow", reasons=["r", "s"], left_out=[("t", "u")])
    states = terminal.force(states, "b", np.array([7]))
    again = terminal.from_json(json.loads(json.dumps(terminal.to_json(states, part))), part)
    assert terminal.same(states, again)
    assert (again.forced == states.forced).all()
    assert again.reasons[0] == "r"
    assert again.sources == states.sources
    assert again.left_out == states.left_out
    assert terminal.to_json(states, part)["states"][0]["cells"][0] == 400


@pytest.mark.parametrize(
    "values",
    [[], {}, {"states": [{"name": 3, "cells": []}]}, {"states": [{"name": "a", "cells": ["x"]}]}],
)
def test_json_of_another_form_is_refused(snapshots, values):
    with pytest.raises(DataError):
        terminal.from_json(values, snapshots)


def test_json_with_unknown_cells_is_refused(snapshots):
    with pytest.raises(DataError, match="1 of the 2 cells of “a”"):
        terminal.from_json({"states": [{"name": "a", "cells": [0, 600]}]}, snapshots)


def test_types_that_the_flow_passes_through_are_left_out(snapshots):
    early = snapshots.time_index == 0
    right = snapshots.states[:, 0] > 0
    labels = np.where(right, "right", "left").astype(object)
    labels[~early & right & (snapshots.states[:, 0] < 2.2)] = "late right"
    labels[early & right] = "late right"
    labels[np.flatnonzero(~early & ~right)[:3]] = "rare"
    labels[0] = None
    chain = transitions(SIDES, snapshots)
    found = proposals.from_types(chain, snapshots, labels)
    assert found.names == ("left", "right")
    reasons = dict(found.left_out)
    assert "only 3 cells" in reasons["rare"]
    assert "most to right" in reasons["late right"]
    assert (found.codes[early] == -1).all()


def test_the_flow_gathers_in_its_sinks(snapshots):
    chain = transitions(SIDES, snapshots)
    found = proposals.from_flow(chain, snapshots)
    assert len(found) >= 2
    middles = [snapshots.states[found.codes == k, 0].mean() for k in range(len(found))]
    assert min(middles) < -1.5
    assert max(middles) > 1.5
    assert all("gathers" in reason for reason in found.reasons)


def test_ends_of_paths_are_told_apart(snapshots):
    labels = np.where(snapshots.states[:, 0] > 0, "R", "L")
    found = proposals.from_ends(SIDES, snapshots, labels=labels)
    assert sorted(found.names) == ["L", "R"]
    right = snapshots.states[found.cells("R"), 0]
    assert (right > 0).all()
    assert "50%" in found.reasons[0]


def test_types_are_the_first_choice_and_flow_the_second(snapshots):
    chain = transitions(SIDES, snapshots)
    labels = np.where(snapshots.states[:, 0] > 0, "R", "L")
    assert set(proposals.propose(SIDES, snapshots, chain, labels=labels).sources) == {"types"}
    assert set(proposals.propose(SIDES, snapshots, chain).sources) == {"flow"}
    one = proposals.propose(SIDES, snapshots, chain, labels=np.repeat("all", 600))
    assert set(one.sources) == {"flow"}


def test_a_new_type_is_judged_inside_the_last_time():
    """At the last time all of A goes on to B, which is new there too."""
    n = 20
    within = np.zeros((n, n))
    within[:, 10:] = 0.1
    chain = Transitions(
        rows=(np.arange(5), np.arange(5, 25)),
        around=(sparse.identity(5, format="csr"), sparse.identity(n, format="csr")),
        landed=(sparse.csr_matrix(np.full((5, n), 1 / n)),),
        within=sparse.csr_matrix(within),
        weights=None,
        off=(np.zeros(5),),
        n_cells=25,
    )
    cells = from_arrays(np.zeros((25, 2)), np.repeat([0, 1], [5, 20]))
    labels = np.repeat(["start", "A", "B"], [5, 10, 10])
    found = proposals.from_types(chain, cells, labels)
    assert found.names == ("B",)
    assert dict(found.left_out)["A"].startswith("transient: 100% leaves it along the velocity")
