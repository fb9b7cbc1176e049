"""What tabs and people share: one copy of equal data, read-only, made once, and within a bound."""

import threading
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import read
from dynamics.inspect import inspect
from jobs import people
from jobs.workspace import Workspace
from ui import cache
from ui.cellmap import buffers

PERSON = ("a" * 40, "b" * 40)


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """A shelf of its own for each test."""
    monkeypatch.setattr(cache, "_shelf", cache.Shelf(cache.BUDGET))


def cells(*, seed=0):
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {"day": np.repeat([0.0, 1.0], 30), "kind": pd.Categorical(["x", "y"] * 30), "score": np.arange(60.0)},
        index=[f"c{k}" for k in range(60)],
    )
    adata = AnnData(rng.poisson(1.0, (60, 3)).astype(np.float32), obs=obs)
    adata.var_names = ["Gata1", "Spi1", "Tal1"]
    adata.obsm["X_pca"] = rng.normal(size=(60, 4)).astype(np.float32)
    return adata


def opened(home, owner, adata):
    """Put a data set into a person's workspace, as a file of its own."""
    store = Workspace(people.folder(home, owner))
    fresh = store.home / "uploads" / "fresh"
    fresh.mkdir()
    read.write_h5ad(adata, fresh / "data.h5ad")
    found = inspect(adata)
    return store.add_dataset(
        fresh, name="cells", origin="a test", roles=found.roles.to_json(), report=found.to_json()
    )


def test_two_people_with_the_same_file_share_one_copy_and_what_was_worked_out(tmp_path):
    first, second = (opened(tmp_path, owner, cells()) for owner in PERSON)
    assert first.file != second.file
    assert cache.adata(first) is cache.adata(second)
    assert cache.snapshots(first) is cache.snapshots(second)
    assert cache.gene_values(first, "Spi1") is cache.gene_values(second, "Spi1")
    assert cache.colour_values(first, "kind") is cache.colour_values(second, "kind")


def test_another_file_of_the_same_name_size_and_shape_is_not_shared(tmp_path):
    first, second = (opened(tmp_path, owner, cells(seed=k)) for k, owner in enumerate(PERSON))
    assert cache.adata(first) is not cache.adata(second)
    assert not np.array_equal(cache.snapshots(first).states, cache.snapshots(second).states)


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
    dataset = opened(tmp_path, PERSON[0], cells())
    before = cache.snapshots(dataset).states
    read.write_h5ad(cells(seed=1), dataset.opened)
    assert not np.array_equal(cache.snapshots(dataset).states, before)


def test_nobody_can_change_what_is_shared(tmp_path):
    dataset = opened(tmp_path, PERSON[0], cells())
    shared = cache.adata(dataset)
    for array in (
        shared.obsm["X_pca"],
        shared.obs["score"].array._ndarray,
        shared.obs["kind"].array._ndarray,
        cache.snapshots(dataset).states,
        cache.gene_values(dataset, "Gata1"),
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_columns_of_text_can_still_be_measured_and_sorted(tmp_path):
    table = pd.DataFrame({"name": np.array(["b", "a"], dtype=object), "n": [1.0, 2.0]})
    cache.freeze(table)
    assert table.memory_usage(deep=True).sum() > 0
    assert table.sort_values("name")["n"].tolist() == [2.0, 1.0]
    assert table.groupby("name")["n"].sum().tolist() == [2.0, 1.0]


@dataclass(frozen=True)
class Made:
    """A result with a large array and a small part."""

    values: np.ndarray
    part: "Part"


@dataclass(frozen=True)
class Part:
    names: tuple[str, ...]


def make(seed):
    return Made(np.random.default_rng(seed).normal(size=5000), Part(tuple(f"g{k}" for k in range(2000))))


def total(values):
    return float(values.sum())


def n_names(part):
    return len(part.names)


def test_what_is_inside_of_a_result_is_not_hashed_again(monkeypatch):
    found = cache.cached(make, 0)
    monkeypatch.setattr(cache, "_array_bytes", lambda value: pytest.fail("hashed"))
    assert cache.fingerprint(found.values) != cache.fingerprint(cache.cached(make, 1).values)
    assert cache.cached(total, found.values) == found.values.sum()
    assert cache.cached(n_names, found.part) == 2000


def test_many_who_ask_at_once_have_it_made_once():
    begun, made, go_on = threading.Event(), [], threading.Event()

    def slow(name):
        made.append(name)
        begun.set()
        assert go_on.wait(30)
        return np.zeros(3)

    answers = []
    tabs = [threading.Thread(target=lambda: answers.append(cache.cached(slow, "a"))) for _ in range(8)]
    for tab in tabs:
        tab.start()
    assert begun.wait(30)
    assert cache.cached(total, np.ones(3)) == 3  # nobody else waits for it
    go_on.set()
    for tab in tabs:
        tab.join(30)
    assert made == ["a"]
    assert len({id(answer) for answer in answers}) == 1


def test_an_error_is_not_kept_and_leaves_no_lock():
    def wrong():
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            cache.cached(wrong)
    assert not cache._shelf._making


def test_results_stay_within_the_room_which_grows_with_the_open_data_sets():
    shelf = cache.Shelf(budget=10_000_000, free=50_000)
    for k in range(20):
        shelf.put(f"gene {k}", np.zeros(10_000, np.uint8))
    assert shelf.used <= 50_000
    assert shelf.get("gene 19")[1]
    assert not shelf.get("gene 0")[1]
    table = AnnData(obs=pd.DataFrame(index=[f"c{k}" for k in range(100)]))
    table.obsm["X_pca"] = np.zeros((100, 50), np.float32)
    shelf.put("table", table)
    assert shelf.room >= 50_000 + cache.PER_DATA_SET * 20_000
    for k in range(12):
        shelf.put(f"more {k}", np.zeros(10_000, np.uint8))
    assert all(shelf.get(f"more {k}")[1] for k in range(12))
    shelf.put("table", table)  # once more is no second one
    shelf.clear()
    assert shelf.used == 0
    assert shelf.room == 50_000


def test_the_budget_is_never_passed():
    shelf = cache.Shelf(budget=30_000, free=1_000_000)
    for k in range(9):
        shelf.put(str(k), np.zeros(10_000, np.uint8))
        assert shelf.used <= 30_000


def test_an_array_for_ever_is_named_without_looking_at_it_again(monkeypatch):
    store, array = buffers.Store(), np.arange(100, dtype=np.float32)
    array.flags.writeable = False
    name = store.put(array, "one")
    monkeypatch.setattr(buffers.hmac, "new", lambda *_: pytest.fail("hashed"))
    assert store.put(array, "two") == name
    assert store.get(name, "two") is not None
    assert store.get(name, "three") is None


def test_an_array_that_may_change_is_looked_at_every_time():
    store, array = buffers.Store(), np.arange(100, dtype=np.float32)
    name = store.put(array)
    array[0] = 7
    assert store.put(array) != name
    assert bytes(store.get(name).data) == np.arange(100, dtype=np.float32).tobytes()


def test_arrays_that_no_page_shows_any_more_leave_after_some_minutes():
    now = [0.0]
    store = buffers.Store(10_000, free=250, clock=lambda: now[0])
    names = [store.put(np.full(100, k, np.uint8)) for k in range(4)]
    assert all(store.get(name) for name in names)
    now[0] = buffers.KEEP_S + 1
    store.put(np.full(100, 3, np.uint8))
    assert [store.get(name) is not None for name in names] == [False, False, True, True]
