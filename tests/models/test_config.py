"""Settings: declared once, drawn anywhere, checked strictly."""

import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.errors import SettingsError
from models.config import TrainConfig, from_assignments, from_mapping, knob, knobs, to_mapping
from models.methods import METHODS, settings_of


@dataclass(frozen=True)
class Example:
    steps: int | None = knob(None, label="Steps", help="How long.", min=1, max=100)
    rate: float = knob(0.5, label="Rate", help="How fast.", min=0.0, unit="1/h", advanced=True)
    pairing: str = knob("auto", label="Pairing", help="How.", choices={"auto": "automatic", "exact": "exact"})
    clean: bool = knob(True, label="Clean", help="Whether.")


def test_knobs_tell_a_form_all_it_needs():
    steps, pairing, clean, rate = knobs(Example)
    assert (steps.name, steps.kind, steps.optional, steps.min, steps.max) == ("steps", "int", True, 1, 100)
    assert (rate.kind, rate.unit, rate.advanced, rate.default) == ("float", "1/h", True, 0.5)
    assert pairing.kind == "choice"
    assert pairing.choices == {"auto": "automatic", "exact": "exact"}
    assert clean.kind == "bool"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, r"Unknown setting stepz. Known: steps, pairing, clean, rate"),
        ({"steps": 101}, "steps = 101: expected a whole number from 1 to 100, or auto"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": "3"}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"rate": math.nan}, "rate = nan: expected a number of at least 0 1/h"),
        ({"rate": math.inf}, "rate = inf"),
        ({"rate": None}, "rate = None"),
        ({"pairing": "best"}, "choose one of auto, exact"),
        ({"pairing": ["auto"]}, "choose one of"),
        ({"clean": 1}, "true or false"),
    ],
)
def test_wrong_settings_are_refused_in_words(values, message):
    with pytest.raises(SettingsError, match=message):
        from_mapping(Example, values)


def test_assignments_are_read_as_typed():
    read = from_assignments(Example, ["steps=auto", "rate = 0.25", "pairing=exact", "clean=no"])
    assert read == {"steps": None, "rate": 0.25, "pairing": "exact", "clean": False}
    for wrong in ("steps", "steps=many", "clean=perhaps", "speed=3", "rate=nan", "steps=1e9"):
        with pytest.raises(SettingsError):
            from_assignments(Example, [wrong])


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "steps": st.none() | st.integers(1, 100),
            "rate": st.floats(0, 1e9),
            "pairing": st.sampled_from(["auto", "exact"]),
            "clean": st.booleans(),
        },
    )
)
def test_settings_survive_json(values):
    made = from_mapping(Example, values)
    assert from_mapping(Example, json.loads(json.dumps(to_mapping(made)))) == made


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_method_explains_itself_and_shows_few_choices(method):
    for text in (method.title, method.summary, method.reference, method.use_when, method.cannot):
        assert text.strip().endswith(".") or text == method.title
    shown = [one for one in knobs(method.settings) if not one.advanced]
    assert (method.objective.evaluations > 0) <= len(shown) <= 3  # without steps there may be nothing to show
    for one in knobs(method.settings):
        assert one.label
        assert one.help.endswith(".")
        assert one.check(one.default) == one.default


def test_recipes_are_checked_and_survive_json():
    config = TrainConfig(method="i-cfm", settings={"steps": 20}, seed=7, dims=3, whiten=True, members=4)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    for wrong in (
        {"seed": -1},
        {"seed": 1.5},
        {"dims": 0},
        {"whiten": 1},
        {"size": 3},
        {"members": 0},
        {"members": 33},
    ):
        with pytest.raises(SettingsError):
            TrainConfig.from_json(wrong)
    with pytest.raises(SettingsError, match=r"members = 2.5: expected a whole number from 1 .* to 32"):
        TrainConfig(members=2.5)
    assert TrainConfig.from_json({"method": "i-cfm"}).members == 1  # recipes from before there were ensembles
    with pytest.raises(SettingsError, match="Known: auto, ot-cfm, i-cfm"):
        settings_of(TrainConfig(method="magic"))
