"""The cell map in Python: colours, the store of arrays, layers, and what comes back from the browser."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from starlette.applications import Starlette
from starlette.requests import Request
from streamlit.testing.v1 import AppTest

from dynamics.errors import DataError
from ui import cellmap
from ui.cellmap import buffers, colour_message, palettes
from ui.cellmap.colour import N_LEVELS, Categories, Levels, categories, ordered
from ui.cellmap.layers import Arrows, FlowField, Layers, Paths, Streams
from ui.cellmap.selection import inside_polygon, read_event

CODE = Path(cellmap.__file__).parent
STAR = np.array([[0, 1], [0.6, -0.8], [-0.95, 0.3], [0.95, 0.3], [-0.6, -0.8]])  # crosses itself


def get(path: str, *, gzipped: bool = True) -> tuple[int, dict[str, str], bytes]:
    """Ask the map's routes for an address."""
    for route in buffers.routes():
        match, child = route.matches({"type": "http", "path": path, "method": "GET"})
        if match.name == "FULL":
            break
    else:
        return 404, {}, b""
    headers = [(b"accept-encoding", b"gzip")] if gzipped else []
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, **child}
    answer = route.endpoint(Request(scope))
    return answer.status_code, dict(answer.headers), answer.body


def test_palette_is_colour_blind_safe_where_that_is_possible():
    assert palettes.for_groups(8) == palettes.OKABE_ITO
    assert palettes.for_groups(10) == palettes.COLOURBLIND_10
    assert len(set(palettes.for_groups(102))) == 102
    assert palettes.for_groups(104)[-2:] == (palettes.MISSING,) * 2


def test_the_files_own_colours_come_first_and_odd_ones_are_not_passed_on():
    groups = categories(["b", "a", None, "b"], label="type", colours=["#123456", "url(http://x)"])
    assert groups.names == ("a", "b")
    assert groups.codes.tolist() == [1, 0, -1, 1]
    assert groups.colours == ("#123456", palettes.MISSING)
    assert categories(["b", "a"], colours={"b": "red"}).colours[1] == "red"


def test_categories_keep_their_order_and_ordered_ones_run_along_viridis():
    column = pd.Series(pd.Categorical(["day 3", "day 12"], categories=["day 3", "day 12"]), name="day")
    groups = ordered(column)
    assert (groups.names, groups.label) == (("day 3", "day 12"), "day")
    assert groups.colours == ("#440154", "#fde725")


def test_too_many_groups_are_refused_in_words():
    with pytest.raises(DataError, match=r"70,000 different values.*Choose a column"):
        Categories(np.zeros(1), tuple(map(str, range(70_000))), label="barcode")


def test_levels_are_clipped_at_the_99th_percentile(rng):
    values = np.append(rng.random(999), 1e6)
    low, high = Levels(values).limits()
    assert low == pytest.approx(values.min())
    assert high < 1.5
    codes = Levels(values).codes()
    assert codes[-1] == N_LEVELS - 1
    assert np.all(np.diff(codes[np.argsort(values)].astype(int)) >= 0)


def test_a_rare_gene_still_has_a_scale():
    values = np.zeros(1000)
    values[3] = 4.0
    assert Levels(values).limits() == (0.0, 4.0)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [2.0, 2.0], [], [np.inf, -np.inf]])
def test_values_without_spread_have_a_scale_too(values):
    low, high = Levels(np.array(values)).limits()
    assert low < high
    assert len(Levels(np.array(values)).codes()) == len(values)


def test_missing_values_are_kept_apart_and_a_centre_makes_the_scale_symmetric():
    change = Levels(np.array([-1.0, 0.0, np.nan, 3.0]), centre=0, vmax=3.0)
    assert change.limits() == (-3.0, 3.0)
    assert change.codes()[2] == 255
    assert change.colours()[0] == palettes.for_levels(N_LEVELS, scale="blue-red")[0]


def test_equal_arrays_have_one_name_and_it_cannot_be_known_elsewhere():
    here, there = buffers.Store(), buffers.Store()
    array = np.arange(10, dtype=np.float32)
    assert here.put(array) == here.put(array.copy())
    assert here.put(array) != there.put(array)
    assert here.put(array) != here.put(array + 1)
    assert re.fullmatch("[0-9a-f]{64}", here.put(array))


def test_the_store_is_bounded_and_forgets_what_was_not_used_for_longest():
    store = buffers.Store(limit=250)
    first, second = (store.put(np.full(100, k, dtype=np.uint8)) for k in range(2))
    assert store.get(first) is not None  # so the second one has waited longer
    third = store.put(np.full(100, 2, dtype=np.uint8))
    assert store.get(second) is None
    assert store.get(first) is not None
    assert store.get(third) is not None
    assert store.size <= 250


def test_arrays_are_sent_compressed_for_ever_and_below_any_prefix():
    codes = np.zeros(5000, dtype=np.uint8)
    name = buffers.reference(codes, "u1")["id"]
    for prefix in ("", "/behind/a/proxy"):
        status, headers, body = get(f"{prefix}/api/map/array/{name}")
        assert (status, gzip.decompress(body)) == (200, codes.tobytes())
        assert "immutable" in headers["cache-control"]
        assert headers["x-content-type-options"] == "nosniff"
    assert get(f"/api/map/array/{name}", gzipped=False)[2] == codes.tobytes()
    assert get("/api/map/array/" + "0" * 64)[0] == 404


def test_only_the_maps_own_code_is_sent():
    version = buffers.code_version()
    status, headers, _ = get(f"/api/map/code/{version}/main.js")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/javascript")
    assert get(f"/api/map/code/{version}/..%2f__init__.py")[0] == 404
    assert get("/api/map/code/0/main.js")[0] == 404
    _, _, body = get(f"/api/map/plotly/{buffers.plotly_version()}.js")
    assert b"plotly.js" in gzip.decompress(body)[:200]
    assert Starlette(routes=buffers.routes()).routes


def test_the_code_neither_writes_markup_nor_asks_other_hosts():
    for path in [CODE / "boot.js", *sorted((CODE / "js").glob("*.js"))]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), (
            path.name
        )
        assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}, path.name


@pytest.mark.parametrize("corners", [STAR, STAR[[0, 3, 1, 4, 2]], [[-1, -1], [1, -1], [1, 1], [-1, 1]]])
def test_points_inside_a_polygon_are_those_of_matplotlib(rng, corners):
    xy = rng.uniform(-1.2, 1.2, (3000, 2))
    corners = np.array(corners, dtype=float)
    winding = Outline(corners).contains_points(xy)
    ours = inside_polygon(xy, corners)
    if corners is STAR:  # the middle of a star is covered twice, and so outside for us
        winding &= np.hypot(*xy.T) > 0.45
        ours &= np.hypot(*xy.T) > 0.45
    np.testing.assert_array_equal(ours, winding)


@settings(deadline=None, max_examples=25)
@given(
    angle=st.floats(0, 6.28),
    scale=st.floats(1e-2, 1e3),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    start=st.integers(0, 4),
)
def test_turning_scaling_and_another_first_corner_choose_the_same_cells(angle, scale, shift, start):
    xy = np.random.default_rng(1).uniform(-1, 1, (500, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    before = inside_polygon(xy, STAR)
    after = inside_polygon(xy @ turn.T + shift, np.roll(STAR, start, axis=0) @ turn.T + shift)
    assert np.count_nonzero(before != after) <= 1  # a point on the outline may fall to either side


def test_cells_without_a_place_are_never_inside():
    xy = np.array([[0, 0], [np.nan, 0], [0, np.nan]], dtype=np.float32)
    assert inside_polygon(xy, np.array([[-1, -1], [1, -1], [0, 2]])).tolist() == [True, False, False]


def test_a_lasso_comes_back_as_rows(rng):
    xy = rng.normal(size=(1000, 2)).astype(np.float32)
    space = buffers.reference(xy, "f4")
    square = [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
    event = read_event({"space": space["id"], "kind": "lasso", "polygon": square}, space)
    np.testing.assert_array_equal(event.rows, np.flatnonzero(np.abs(xy).max(axis=1) < 0.5))
    assert event.n == len(event.rows) > 0
    assert not event.rows.flags.writeable


def test_clicked_groups_come_back_as_rows():
    space = buffers.reference(np.zeros((4, 2)), "f4")
    message = colour_message(Categories(np.array([0, 1, -1, 1]), ("a", "<b>"), label="type"))
    codes = message["codes"]
    value = {"space": space["id"], "kind": "categories", "array": codes["id"], "type": codes["type"]}
    event = read_event({**value, "codes": [1], "names": ["<b>"], "column": "type"}, space)
    assert (event.rows.tolist(), event.names, event.column) == ([1, 3], ("<b>",), "type")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {"kind": "lasso"},
        {"kind": "lasso", "polygon": [[0, 0], [1, 1]]},
        {"kind": "lasso", "polygon": [[0, 0], [1, "x"], [2, 2]]},
        {"kind": "lasso", "polygon": [[0, 0], [1, float("nan")], [2, 2]]},
        {"kind": "lasso", "polygon": [[0, 0]] * 5000},
        {"kind": "lasso", "polygon": [[0, 0], [10**400, 0], [0, 1]]},
        {"kind": "all", "polygon": [[0, 0], [1, 0], [0, 1]]},
        {"kind": "categories", "codes": ["a"], "array": "0", "type": "u1"},
        {"kind": "categories", "codes": [1], "array": "0" * 64, "type": "u1"},
        {"kind": "categories", "codes": [1], "array": "0" * 64, "type": "f8"},
    ],
)
def test_nonsense_from_the_browser_chooses_nothing(value):
    space = buffers.reference(np.zeros((4, 2)), "f4")
    if isinstance(value, dict):
        value = {"space": space["id"], **value}
    assert read_event(value, space) is None


@pytest.mark.parametrize(
    ("codes", "array", "kind"),
    [([-1], [0, 1, 1], "u1"), ([2**70], [0, 1, 1], "u1"), ([1], [0, 1, 1], "u2"), ([1], [1] * 12, "u1")],
)
def test_groups_that_cannot_be_those_of_the_map_choose_nothing(codes, array, kind):
    space = buffers.reference(np.zeros((3, 2)), "f4")
    name = buffers.reference(np.array(array), "u1")["id"]
    value = {"space": space["id"], "kind": "categories", "codes": codes, "array": name, "type": kind}
    assert read_event(value, space) is None


def test_a_choice_on_another_map_is_not_taken_over():
    space = buffers.reference(np.zeros((4, 2)), "f4")
    square = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    assert read_event({"space": "other", "kind": "lasso", "polygon": square}, space) is None


def test_streamlines_take_one_number_per_point_or_per_line():
    lines = [np.zeros((4, 2)), np.zeros((1, 2)), np.ones((3, 2))]  # the second is no line
    per_line = Layers(Streams(lines, speed=np.array([1.0, 9.0, 2.0]))).message(2)["streamlines"]
    assert buffers.array(per_line["speed"]["id"], "f4").tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert buffers.array(per_line["starts"]["id"], "i4").tolist() == [0, 4, 7]
    per_point = Layers(Streams(lines, agreement=[np.arange(4), [0], np.arange(3)])).message(2)["streamlines"]
    assert buffers.array(per_point["agreement"]["id"], "f4").tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert Layers(Streams([])).message(2)["streamlines"] is None


def test_at_most_150_paths_are_drawn_and_20000_cells_move():
    xy = np.zeros((3, 30_000, 2), dtype=np.float32)
    message = Layers(paths=Paths(np.array([0, 1, 2]), xy)).message(2)["paths"]
    assert (message["n"], message["total"], len(message["drawn"])) == (20_000, 30_000, 150)
    assert message["xy"]["length"] == 3 * 20_000 * 2


def test_paths_say_where_members_part():
    xy = np.zeros((3, 5, 2), dtype=np.float32)
    apart = np.zeros((3, 5), dtype=bool)
    apart[2, 1] = True
    paths = Paths(np.array([0, 1, 2]), xy)
    assert Layers(paths=paths).message(2)["paths"]["apart"] is None
    message = Layers(paths=replace(paths, apart=apart)).message(2)["paths"]
    assert np.flatnonzero(buffers.array(message["apart"]["id"], "u1")).tolist() == [11]


def test_layers_that_do_not_belong_to_the_map_are_refused():
    flat, solid = np.zeros((2, 5, 2)), np.zeros((2, 5, 3))
    with pytest.raises(DataError, match="Paths have 3 coordinates, the map has 2"):
        Layers(paths=Paths(np.arange(2), solid)).message(2)
    with pytest.raises(DataError, match="2 places in time but 3 times"):
        Layers(paths=Paths(np.arange(3), flat)).message(2)
    with pytest.raises(DataError, match="Arrows have 2 coordinates, the map has 3"):
        Layers(arrows=Arrows(np.zeros((4, 2)), np.zeros((4, 2)))).message(3)
    grid = np.zeros((4, 3))
    with pytest.raises(DataError, match=r"\(4, 3\), expected \(ny, nx\) = \(3, 4\)"):
        Layers(particles=FlowField(np.arange(4), np.arange(3), grid, grid, grid > 0)).message(2)


def page() -> None:
    import numpy as np
    import streamlit as st

    from ui.cellmap import Levels, cell_map

    event = cell_map(
        "m", xy=np.zeros((4, 2)), colour=Levels(np.zeros(4)), alt="four cells", selection="lasso"
    )
    st.write(f"chosen: {event}")


def test_a_page_with_a_map_runs_and_nothing_is_chosen_at_first():
    app = AppTest.from_function(page, default_timeout=20).run()
    assert not app.exception
    assert app.markdown[0].value == "chosen: None"


def test_cells_and_colours_must_be_as_many():
    with pytest.raises(DataError, match="4 cells, but there are 3 colours"):
        cellmap.cell_map("m", xy=np.zeros((4, 2)), colour=Levels(np.zeros(3)), alt="")
    with pytest.raises(DataError, match=r"shape \(n, 2\) or \(n, 3\), found \(4, 5\)"):
        cellmap.cell_map("m", xy=np.zeros((4, 5)), colour=Levels(np.zeros(4)), alt="")
