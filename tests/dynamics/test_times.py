"""Times are read as a biologist means them, in order, in one unit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.errors import TimeError
from dynamics.time_labels import parse_label
from dynamics.times import LATEST, NEAREST, parse_times, read_labels, unit_hint


def axis_of(labels, *, name="x", **how):
    return parse_times(pd.Series(labels, name=name), **how)[0]


@pytest.mark.parametrize(
    ("name", "labels", "values", "unit"),
    [
        ("day", [10.0, 10.5, 11.0], [10, 10.5, 11], "day"),
        ("time", [0, 2, 1], [0, 1, 2], ""),
        ("t", ["D10", "D2", "D0"], [0, 2, 10], "day"),
        ("t", ["day 14", "day 3"], [3, 14], "day"),
        ("t", ["Day-3", "Day-14"], [3, 14], "day"),
        ("t", ["D-1", "D0", "D3"], [-1, 0, 3], "day"),
        ("t", ["E8.5", "E6.5", "E10.5"], [6.5, 8.5, 10.5], "day"),
        ("t", ["Embryonic day 14.5", "embryonic day 9"], [9, 14.5], "day"),
        ("t", ["P0", "P14", "P7"], [0, 7, 14], "day"),
        ("t", ["P0", "E18.5", "P7"], [18.5, 19.5, 26.5], "day"),
        ("t", ["12h", "1 day", "0h"], [0, 12, 24], "h"),
        ("t", ["5 min", "1 h"], [5, 60], "min"),
        ("t", ["1dpi", "12hpi", "0 hpi"], [0, 12, 24], "hpi"),
        ("t", ["24hpf", "10hpf"], [10, 24], "hpf"),
        ("t", ["HPF24", "HPF48"], [24, 48], "hpf"),
        ("t", ["24 hours", "8 hours"], [8, 24], "h"),
        ("t", ["3 days post infection", "7 days post infection"], [3, 7], "day"),
        ("t", ["T24h", "T0"], [0, 24], "h"),
        ("t", ["t=0h", "t=12h"], [0, 12], "h"),
        ("t", ["week 6", "Week_12"], [6, 12], "week"),
        ("t", ["GW14", "gw 20"], [14, 20], "gw"),
        ("t", ["Theiler stage 20", "Theiler stage 9"], [9, 20], "Theiler stage"),
        ("t", ["8 somites", "12 somites"], [8, 12], "somites"),
        ("t", ["8-month-old stage", "20-month-old stage"], [8, 20], "month"),
        ("age", ["3m", "24m", "18m"], [3, 18, 24], "month"),
        ("time", ["0,5", "1,0", "2"], [0.5, 1, 2], ""),
        ("t", ["1,000", "2,000"], [1000, 2000], ""),
        ("embryo.time.bin", ["390-450", "210-270", "> 650", "580-640"], [240, 420, 610, 680], "min"),
        ("day_range", ["Day 00-03", "Day 06-09"], [1.5, 7.5], "day"),
        ("t", ["3h-4h", "0 to 3 h"], [1.5, 3.5], "h"),
        ("t", ["E6.5-E7.5", "E8.5"], [7, 8.5], "day"),
        ("t", ["WT_E8.5", "KO_E9.5"], [8.5, 9.5], "day"),
        ("t", ["<5", "5-10", "10+"], [2.5, 7.5, 12.5], ""),
        ("t", ["(0.0, 5.2]", "(5.2, 10.0]"], [2.6, 7.6], ""),
        ("t", ["L1", "L4", "L2"], [1, 2, 4], ""),
        ("t", ["2021-03-04", "2021-03-01"], [0, 3], "day"),
        ("t", ["WT_12h_rep1", "KO_24h_rep2"], [12, 24], "h"),
        ("hours", [0, 6], [0, 6], "h"),
        ("t", ["late", "early", "mid"], [0, 1, 2], "stage"),
        ("t", ["4-cell", "zygote", "morula"], [0, 1, 2], "stage"),
        ("t", pd.to_timedelta(["1 days", "12 hours"]), [12, 24], "h"),
    ],
)
def test_labels_are_read_as_meant(name, labels, values, unit):
    axis = axis_of(labels, name=name)
    np.testing.assert_allclose(axis.values, values)
    assert axis.unit == unit


def test_cells_without_a_readable_time_are_left_out():
    axis, index = parse_times(pd.Series(["E6.5", None, "mixed", "E7.5", "nan"], name="stage"))
    assert axis.labels == ("E6.5", "E7.5")
    assert axis.n_cells == (1, 1)
    np.testing.assert_array_equal(index, [0, -1, -1, 1, -1])


def test_labels_of_one_time_are_one_time():
    axis, index = parse_times(pd.Series(["24 h", "1 day", "2 d"], name="t"))
    assert axis.labels == ("24 h + 1 day", "2 d")
    np.testing.assert_array_equal(index, [0, 0, 1])


def test_categories_keep_cells_and_unused_ones_vanish():
    column = pd.Series(pd.Categorical(["d2", "d10", "d2"], categories=["d10", "d2", "d99"]), name="t")
    axis, index = parse_times(column)
    assert axis.labels == ("d2", "d10")
    np.testing.assert_array_equal(index, [0, 1, 0])


def test_order_of_categories_is_used_where_labels_are_not_times():
    column = pd.Series(
        pd.Categorical(["b", "c", "a"], categories=["c", "a", "b"], ordered=True), name="stage"
    )
    axis, index = parse_times(column)
    assert axis.labels == ("c", "a", "b")
    assert axis.unit == "stage"
    np.testing.assert_array_equal(index, [2, 0, 1])


def test_order_of_categories_does_not_beat_readable_times():
    column = pd.Series(pd.Categorical(["d10", "d2"], categories=["d10", "d2"], ordered=True), name="t")
    assert parse_times(column)[0].labels == ("d2", "d10")


def test_numeric_categories_are_numbers():
    column = pd.Series(pd.Categorical([10, 2, 10]), name="day")
    assert parse_times(column)[0].labels == ("2", "10")


def test_float32_is_shown_as_written():
    column = pd.Series(np.array([0.1, 0.2], dtype=np.float32), name="time")
    assert parse_times(column)[0].labels == ("0.1", "0.2")


def test_own_values_replace_read_ones():
    axis = axis_of(["E18.5", "P0", "old"], values={"P0": 19.0, "old": 60.0})
    np.testing.assert_allclose(axis.values, [18.5, 19.0, 60.0])
    assert axis_of(["d1", "d2"], values={"d2": None}).labels == ("d1",)


def test_own_values_for_unknown_labels_are_refused():
    with pytest.raises(TimeError, match=r'"D3".*"d1", "d2"'):
        axis_of(["d1", "d2"], values={"D3": 1.0})


def test_as_index_keeps_the_order_only():
    axis = axis_of(["d10", "d2", "d3"], as_index=True)
    assert axis.labels == ("d2", "d3", "d10")
    np.testing.assert_array_equal(axis.values, [0, 1, 2])
    assert axis.unit == "index"


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["control", "treated"], '"control", "treated"'),
        ([True, False], "yes/no"),
        ([None, None], "is empty"),
        (np.linspace(0, 1, 500), "500 different values"),
    ],
)
def test_what_is_no_time_is_refused_with_what_was_found(labels, found):
    with pytest.raises(TimeError, match=found):
        axis_of(labels)


def test_names_for_captions():
    assert axis_of([3, 4], name="day").name(0) == "day 3"
    assert axis_of(["12h", "24h"]).name(1) == "24h"
    assert axis_of([6, 12], name="hours").name(0) == "6 h"
    assert axis_of([0, 1], name="time").name(0) == "time 0"
    assert axis_of(["E8.5", "E9.5"]).name(0) == "E8.5"


def test_notes_say_what_was_assumed():
    notes = " ".join(read_labels(pd.Series(["E18.5", "P0"], name="t")).notes)
    assert "19.5 days post conception" in notes
    assert "680" in " ".join(read_labels(pd.Series(["590-650", "> 650"], name="t")).notes)


def test_values_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        axis_of([1, 2]).values[0] = 5


@pytest.mark.parametrize(
    ("name", "unit"),
    [("day", "day"), ("embryo.time", "min"), ("time_h", "h"), ("hpf", "hpf"), ("samples", ""), ("h", "")],
)
def test_units_are_told_from_column_names(name, unit):
    assert unit_hint(name) == unit


numbers = st.lists(st.integers(-500, 500).map(lambda n: n / 4), min_size=1, max_size=20, unique=True)


@settings(deadline=None, max_examples=60)
@given(numbers, st.randoms(use_true_random=False))
def test_any_numbers_come_out_sorted_whatever_the_order_of_cells(values, random):
    cells = values * 3
    random.shuffle(cells)
    axis, index = parse_times(pd.Series(cells, name="time"))
    np.testing.assert_allclose(axis.values, np.sort(values))
    np.testing.assert_allclose(axis.values[index], cells)
    assert axis.n_cells == (3,) * len(values)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 400).map(lambda n: n / 4), min_size=1, max_size=15, unique=True),
    st.sampled_from(["{:g}h", "day {:g}", "E{:g}", "{:g} dpi", "Week_{:g}", "t{:g}", "{:g} hours"]),
)
def test_a_way_of_writing_does_not_change_the_numbers(values, form):
    axis, index = parse_times(pd.Series([form.format(v) for v in values], name="x"))
    np.testing.assert_allclose(axis.values[index], values)


@pytest.mark.parametrize("label", ["a" + ". " * 50_000 + "of" * 50_000 + "!", "1" + "of" * 50_000 + "!"])
def test_a_label_made_to_be_slow_is_no_time(label):
    assert parse_label(label) is None  # hours, where every way to read it is tried


def test_the_time_in_a_sentence_is_looked_for():
    found = parse_label("taken at day 5 after induction of the culture in the incubator of the old building")
    assert (found.low, found.unit, found.inside) == (5, "day", True)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_any_text_is_read_or_refused_in_words(labels):
    column = pd.Series(labels, dtype=object, name="x")
    found = read_labels(column).values
    known = np.unique(found[np.isfinite(found)])
    too_far = bool((np.abs(known) > LATEST).any() or (np.diff(known) < NEAREST).any())
    if not len(known) or too_far:
        with pytest.raises(TimeError, match="cannot be reckoned with" if too_far else 'Column "x"'):
            parse_times(column)
        return
    axis, index = parse_times(column)
    assert np.all(np.diff(axis.values) > 0)
    assert index.max() < len(axis.labels)
    assert np.isfinite(axis.values).all()
