"""Names in figures: text whatever they hold, whole under the pointer, and none merged with another."""

import html
import re

import plotly.graph_objects as go
from hypothesis import given
from hypothesis import strategies as st

from dynamics.figures import comparison, fates
from dynamics.figures.style import escaped, named, styled
from dynamics.printable import printable
from tests.hostile.names import NAMES

ANY = st.one_of(st.sampled_from(NAMES), st.text(max_size=40))


@given(ANY)
def test_a_name_is_no_tag_template_or_formula(name):
    shown = escaped(name)
    assert not set(shown) & set("<>{}$") - {"}"}
    assert re.fullmatch(r"[^&]*(&(amp|lt|gt|#123|#36);[^&]*)*", shown)
    assert html.unescape(shown) == printable(name, limit=160)


@given(ANY)
def test_printable_names_hold_nothing_that_acts_on_what_follows(name):
    shown = printable(name)
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", shown)
    shown.encode()
    depth = 0
    for letter in shown:
        depth += (letter in "\u2066\u2067\u2068") - (letter == "\u2069")
        depth = max(depth, 0)
    assert depth == 0


def test_a_mark_that_turns_the_direction_of_writing_ends_with_its_name():
    assert printable("\u202egnp.exe") == "\u2068\u202egnp.exe\u202c\u2069"
    assert printable("plain") == "plain"
    assert len(printable("x" * 500, limit=20)) == 20


def test_names_that_are_equal_when_cut_keep_places_of_their_own():
    assert named(["a" * 30 + "1", "a" * 30 + "2", "b"], limit=10) == ["a" * 9 + "…", "a" * 9 + "… (2)", "b"]


def test_names_that_look_like_numbers_or_dates_are_names(rng):
    groups = rng.choice(["1", "2020-01-01"], 50)
    drawn = comparison.angles(rng.uniform(0, 90, 50), groups, order=["1", "2020-01-01"])
    assert drawn.layout.yaxis.type == "category"
    scores = {"model": [0.5, 0.6], "ceiling": [0.7, 0.8]}
    assert fates.clone_scores(scores, ["1", "2"], measure="AUC").layout.xaxis.type == "category"


def test_names_under_the_pointer_are_not_cut():
    assert styled(go.Figure()).layout.hoverlabel.namelength == -1
