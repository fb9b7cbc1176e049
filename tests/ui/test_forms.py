"""Forms that draw themselves, and text from files that stays text."""

import re
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dynamics.printable import printable
from tests.hostile.names import NAMES, plain
from ui import forms, text


def knob(default, **about):
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    epochs: int = knob(20, label="Rounds", min=1, max=100, help="How long to learn")
    sigma: float = knob(0.1, label="Noise", min=0.0, unit="state units", advanced=True)
    exact: bool = knob(True, label="Exact pairing", advanced=True)
    solver: str = knob("fast", label="Solver", choices={"fast": "Fast", "sure": "Careful"})
    dims: int | None = knob(None, label="Dimensions", min=2, max=50, advanced=True)
    layers: tuple[int, ...] = knob((64, 64), label="Layers", advanced=True)
    kind: Literal["a", "b"] = "a"
    plain_name: float = 0.5


def form():
    import streamlit as st

    from tests.ui.test_forms import Settings
    from ui import forms

    st.session_state["answer"] = forms.draw(Settings, key="f", columns=2)


@pytest.fixture
def drawn():
    return AppTest.from_function(form, default_timeout=20).run()


def test_untouched_form_gives_the_defaults(drawn):
    assert drawn.session_state["answer"] == {
        "epochs": 20,
        "sigma": 0.1,
        "exact": True,
        "solver": "fast",
        "dims": None,
        "layers": (64, 64),
        "kind": "a",
        "plain_name": 0.5,
    }


def test_a_form_speaks_the_users_words(drawn):
    labels = {box.label for box in drawn.number_input}
    assert labels == {"Rounds", "Noise (state units)", "Dimensions", "Plain name"}
    assert drawn.number_input(key="f.epochs").help == "How long to learn"
    assert list(drawn.selectbox(key="f.solver").options) == ["Fast", "Careful"]


def test_advanced_settings_are_folded_away(drawn):
    (folded,) = drawn.expander
    assert folded.label == "Advanced"
    assert {box.label for box in folded.number_input} == {"Noise (state units)", "Dimensions"}


def test_what_is_typed_comes_back_in_its_type(drawn):
    drawn.number_input(key="f.epochs").set_value(7)
    drawn.number_input(key="f.dims").set_value(12)
    drawn.selectbox(key="f.solver").set_value("sure")
    drawn.toggle(key="f.exact").set_value(False)
    drawn.text_input(key="f.layers").set_value("32, 16,8")
    answer = drawn.run().session_state["answer"]
    chosen = {name: answer[name] for name in ("epochs", "dims", "solver", "exact", "layers")}
    assert chosen == {"epochs": 7, "dims": 12, "solver": "sure", "exact": False, "layers": (32, 16, 8)}
    assert all(isinstance(answer[name], int) for name in ("epochs", "dims"))


def test_a_list_that_is_none_is_refused_in_words(drawn, caplog):
    drawn.text_input(key="f.layers").set_value("many").run()
    assert len(drawn.exception) == 1
    assert "numbers separated by commas" in caplog.text


def test_only_what_was_changed_is_named():
    assert forms.changed(Settings, {"epochs": 20, "sigma": 0.2, "layers": (64, 64)}) == {"sigma": 0.2}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0.3, "a moment"),
        (12.4, "12 s"),
        (150, "2 min"),
        (3600 * 2.5, "2 h 30 min"),
    ],
)
def test_durations_read_well(given, shown):
    assert text.duration(given) == shown


def test_counts_and_ages_read_well():
    assert [text.count(1, "cell"), text.count(12_345, "cell")] == ["1 cell", "12,345 cells"]
    ages = [text.ago(0, now=passed) for passed in (5, 300, 7200, 86400, 3 * 86400)]
    assert ages == ["just now", "5 min ago", "2 h ago", "1 day ago", "3 days ago"]
    assert [text.size(4_000_000_000), text.size(116_000), text.size(12)] == ["4 GB", "116 KB", "12 bytes"]


LIVE = r"(?i)(https?|ftp|mailto|xmpp|www)[.:]|\w@|:[\w+-]+:|(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)"


@given(st.one_of(st.text(max_size=80), st.sampled_from(NAMES)))
@settings(max_examples=200, deadline=None)
def test_escaped_text_has_no_live_markdown_and_loses_no_word(given):
    shown = text.escape(given, limit=1000)
    for part in shown.split(text.BREAK):
        words = re.sub(r"\\(.)", r"\1", part)
        assert not re.search(LIVE, words)
        live = re.sub(r"\\.", "", part.replace("&#xFEFF;", ""))
        assert not set(live) & set("\\`*_[]()!<>~:$#|&")
    assert plain(shown) == printable(given)


def test_long_names_are_cut():
    assert len(text.escape("x" * 500)) == 200
