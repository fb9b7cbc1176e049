"""How far to trust a figure, in the sentences that stand below it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynamics.snapshots import Snapshots
from jobs.workspace import ModelEntry
from ui.text import escape

WORDS = {
    "better": "Clearly better than a straight line",
    "no-better": "No better than a straight line",
    "worse": "Worse than copying",
    "untestable": "Cannot be tested",
}
NOTHING = "This model learned nothing: it predicts no better than one mean velocity for all cells."
UNVALIDATED = "Not validated: no time point was held out to test this model."


@dataclass(frozen=True)
class Scores:
    """What held-out times said of a model, averaged over them, in units of the states."""

    w1: float
    copy: float
    midpoint: float
    headroom: float | None
    verdict: str
    held_out: tuple[str, ...]


def scores(entry: ModelEntry) -> Scores | None:
    """Return the held-out scores of a model; None where it was not tested."""
    told: Mapping[str, Any] | None = entry.about.get("validation")
    if not told or not told["rows"]:
        return None
    first, naive = told["summary"][0], told["baselines"]
    mean = {
        name: sum(one["w1"] for one in naive if one["name"] == name)
        / max(sum(one["name"] == name for one in naive), 1)
        for name in ("copy", "ot-midpoint")
    }
    held_out = dict.fromkeys(row["held_out"] for row in told["rows"])
    return Scores(
        w1=first["w1_mean"],
        copy=mean["copy"],
        midpoint=mean["ot-midpoint"],
        headroom=first["headroom"],
        verdict=first["verdict_text"],
        held_out=tuple(held_out),
    )


def verdict_word(one: Mapping[str, Any]) -> str:
    """Return a verdict in a few words; without motion there is nothing that a line could be better at."""
    still = one["verdict"] == "no-better" and one["headroom"] is None
    return "Nothing to predict" if still else WORDS[one["verdict"]]


def word(entry: ModelEntry) -> str:
    """Return in a few words what held-out times said of a model."""
    told = entry.about.get("validation")
    return verdict_word(told["summary"][0]) if told else "Not validated"


def widening(entry: ModelEntry) -> float | None:
    """Return by how much held-out times call for wider (or narrower) bands; None where none was tested."""
    told = (entry.about.get("validation") or {}).get("calibration")
    return None if told is None else 1.0 if told["fine"] else told["factor"]


def bands_note(entry: ModelEntry) -> str:
    """Say how bands between trainings were checked."""
    factor = widening(entry)
    if factor is None:
        return (
            "Ranges hold another training in 8 of 10 cases; whether they hold the truth as often was not "
            "tested."
        )
    if factor == 1:
        return "Ranges are meant to hold 8 of 10 cases, and did at held-out times."
    how = "wider" if factor > 1 else "narrower"
    by = f"{max(factor, 1 / factor):.2g} times {how}"
    return f"Ranges are {by} than between trainings, as held-out times call for."


def sentence(entry: ModelEntry) -> str:
    """Say how a model did in training and on held-out times, or that nobody knows; text for Markdown."""
    return f"{NOTHING} {_tested(entry)}" if learned_nothing(entry) else _tested(entry)


def learned_nothing(entry: ModelEntry) -> bool:
    """Tell whether training came to nothing."""
    return entry.about.get("learned_nothing") is True


def _tested(entry: ModelEntry) -> str:
    found = scores(entry)
    if found is None:
        told = entry.about.get("validation")
        return f"Not validated: {told['summary'][0]['verdict_text']}." if told else UNVALIDATED
    times = escape(", ".join(found.held_out), limit=120)
    which = "time" if len(found.held_out) == 1 else "times"
    return f"Tested without the {which} {times}: {found.verdict}."


def moment(shots: Snapshots, time: float) -> str:
    """Return what a time is called: "day 3"; between two snapshots, the number with its unit."""
    near = int(np.argmin(np.abs(shots.axis.values - time)))
    if np.isclose(shots.axis.values[near], time):
        return escape(shots.axis.name(near))
    unit = "" if shots.unit == "index" else shots.unit
    return escape(f"{time:.4g} {unit}".strip())


def time_note(shots: Snapshots) -> str:
    """Say so where times stand for their order only."""
    return "Time is the order of the snapshots, not elapsed time." if shots.unit == "index" else ""
