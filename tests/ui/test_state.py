"""The cache by content, and what a tab has open."""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from jobs import expiry
from ui import cache, state


@pytest.fixture(autouse=True)
def empty_shelf(monkeypatch):
    monkeypatch.setattr(cache, "_shelf", cache.Shelf(10**8))


@dataclass(frozen=True)
class Pair:
    a: np.ndarray
    b: int = 0
    calls: list = field(default_factory=list, compare=False)


@given(
    arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-5, 5, width=32)),
    st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_one_changed_value_changes_the_fingerprint(array, place):
    same, other = array.copy(), array.copy()
    other[place % len(other)] += 1
    assert cache.fingerprint(same) == cache.fingerprint(array)
    assert cache.fingerprint(other) != cache.fingerprint(array)


def test_every_value_of_a_large_array_counts():
    array = np.zeros((20_000, 50), np.float32)
    before = cache.fingerprint(array)
    for place in range(0, array.size, 104_729):
        changed = array.copy()
        changed.flat[place] = 1
        assert cache.fingerprint(changed) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (("a", "bc"), ("ab", "c")),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        (np.zeros(2), np.zeros(3)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(4, np.float32), np.zeros(4, np.int32)),
        (pd.Series([1, 2], name="a"), pd.Series([1, 2], name="b")),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (Pair(np.zeros(2)), Pair(np.zeros(2), 1)),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (sparse.csr_matrix(np.eye(3)), sparse.csr_matrix(np.eye(3)[::-1])),
        (np.linalg.norm, np.linalg.det),
        (pd.Series(["a", "b"], dtype="category"), pd.Series(["a", "c"], dtype="category")),
    ],
)
def test_different_things_have_different_fingerprints(one, other):
    assert cache.fingerprint(one) != cache.fingerprint(other)
    assert cache.fingerprint(one) == cache.fingerprint(one)


def test_what_cannot_be_named_is_refused():
    with pytest.raises(TypeError, match="cannot name the content of a object"):
        cache.fingerprint(object())


def test_a_changed_file_is_another_file(tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_bytes(b"one")
    before = cache.fingerprint(path)
    path.write_bytes(b"other")
    assert cache.fingerprint(path) != before


def test_the_same_question_is_answered_once_and_read_only():
    calls = []

    def double(x, *, by=2):
        calls.append(by)
        return Pair(by * x)

    first, again = cache.cached(double, np.ones(3)), cache.cached(double, np.ones(3))
    assert again is first
    assert calls == [2]
    with pytest.raises(ValueError, match="read-only"):
        first.a[0] = 9
    cache.cached(double, np.ones(3), by=3)
    assert calls == [2, 3]


def test_results_are_passed_on_without_hashing(monkeypatch):
    result = cache.cached(_big)
    monkeypatch.setattr(cache, "_array_bytes", None)  # hashing the array would now fail
    assert cache.cached(np.sum, result) == 0


def _big():
    return np.zeros(1000)


def test_errors_are_not_kept():
    answers = [ValueError("no"), 7]

    def fickle():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ValueError, match="no"):
        cache.cached(fickle)
    assert cache.cached(fickle) == 7


def test_two_tabs_do_not_both_do_the_work():
    calls, gate = [], threading.Event()

    def slow():
        calls.append(1)
        gate.wait(5)
        return np.ones(1)

    tabs = [threading.Thread(target=cache.cached, args=(slow,)) for _ in range(4)]
    for tab in tabs:
        tab.start()
    gate.set()
    for tab in tabs:
        tab.join(10)
    assert calls == [1]


def test_the_shelf_lets_the_least_used_go_first():
    shelf = cache.Shelf(2500)
    for key in "ab":
        shelf.put(key, np.zeros(125))
    shelf.get("a")
    shelf.put("c", np.zeros(125))
    assert [shelf.get(key)[1] for key in "abc"] == [True, False, True]
    assert shelf.used == 2000
    shelf.put("huge", np.zeros(10_000))
    assert shelf.get("huge")[1], "the newest stays, however large"
    assert not shelf.get("a")[1]


def test_a_tab_whose_empty_workspace_was_swept_away_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(state.identity, "owner", lambda: "a" * 40)
    assert state.store().datasets() == []
    assert expiry.sweep(tmp_path, now=time.time() + 2 * 86_400) == 1
    assert state.store().datasets() == []
