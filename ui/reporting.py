"""The report on a model: how it did on times that it had not seen, where, and what the checks say."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dynamics.figures import validation
from models import report_words
from models.holdout import headroom
from models.methods import METHODS
from ui import overview, saving, state, theme, trust, validating
from ui.text import count, escape

Told = Mapping[str, Any]
LEVELS = {"better": "good", "no-better": "note", "worse": "warning", "untestable": "note"}
NAIVE = {
    "copy": "Copy of the time before",
    "ot-midpoint": "Straight line between paired cells",
    "noise-floor": "Noise floor",
}
HEADROOM = (
    "Headroom: the share of what could be gained over copying the time before. 100 % is the noise floor, "
    "that is as close as two halves of the real cells are to each other; 0 % is no better than the copy. "
    "Bars: two standard errors, from 12 draws of cells."
)


def told(work: state.Workspace) -> Told | None:
    """Return the report that is kept with the open model; None where there is none, or an old one."""
    found = work.entry.about.get("validation")
    return found if found and "times" in found else None


def start(work: state.Workspace, known: Told | None) -> None:
    """Draw the choices and the button that start a report."""
    own, n_times = work.model.method, work.snapshots.n_times
    usual = [name for name in ("auto", "ot-cfm") if name != own and n_times > 2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        others = n_times > 2 and st.multiselect(
            "Compare with",
            [name for name, method in METHODS.items() if name != own and _fits(method, work)],
            default=usual[:1],
            format_func=lambda name: METHODS[name].title,
            key=state.key("report-methods", per="model"),
            help="Further methods that are trained and tested in the same way, with their usual settings.",
        )
        pressed = st.button(
            "Make the report" if known is None else "Make it again",
            type="primary" if known is None else "secondary",
            key=f"report-{work.entry.id}",
        )
    n_methods = 1 + len(others or ())
    st.caption(validating.cost(work.entry, n_times=n_times, n_methods=n_methods, checks=True))
    if pressed:
        validating.submit(work.entry, methods=others or ())
        st.rerun()


def _fits(method: Any, work: state.Workspace) -> bool:
    return not method.why_not(n_times=work.snapshots.n_times - 1, dim=work.snapshots.dim)


def verdict(known: Told) -> None:
    """Draw what is said of the model as a whole, and at each time."""
    summary = known["summary"][0]
    theme.finding(
        LEVELS[summary["verdict"]],
        trust.verdict_word(summary),
        _sentence(f"This method {summary['verdict_text']}."),
        _motion(summary),
    )
    rows = [row for row in known["times"] if row["method"] == summary["method"]]
    for row in rows if len(rows) > 1 else ():
        theme.finding(LEVELS[row["verdict"]], _time(row), _sentence(row["verdict_text"]) + ".", "")


def _motion(summary: Mapping[str, Any]) -> str:
    if summary["verdict"] == "untestable":
        return "What the model says between the measured times cannot be checked with these data."
    if summary["headroom"] is None:
        return ""
    error = f" ± {2 * summary['headroom_se']:.0%}" if summary["headroom_se"] else ""
    return (
        f"It reaches {summary['headroom']:.0%}{error} of what could be gained over copying the time before."
    )


def times(known: Told) -> None:
    """Draw the headroom of all methods at all held-out times."""
    naive = {(one["name"], one["held_out"]): one["w1"] for one in known["baselines"]}
    moved = {row["held_out"] for row in known["times"] if row["headroom"] is not None}
    held_out = list(dict.fromkeys(one["held_out"] for one in known["baselines"]))
    line = {
        time: headroom(naive["ot-midpoint", time], copy=naive["copy", time], floor=naive["noise-floor", time])
        if time in moved
        else None
        for time in held_out
    }
    if not moved:
        st.caption("There is no motion between these times, so no share of it to draw.")
        return
    figure = validation.headroom_by_time(known["times"], line, unit=_unit(known))
    saving.figure(figure, name="headroom-by-time", alt="Headroom of every method at every held-out time")
    st.caption(HEADROOM)


def methods(known: Told) -> None:
    """Draw the table of methods beside the predictions that need no learning."""
    rows = {}
    for name in ("copy", "ot-midpoint", "noise-floor"):
        values = [one["w1"] for one in known["baselines"] if one["name"] == name]
        rows[NAIVE[name]] = {
            "W1": f"{sum(values) / len(values):.3g}",
            "Verdict": "",
            "Seconds a training": "",
        }
    for one in known["summary"]:
        rows[_title(one["method"])] = {
            "W1": f"{one['w1_mean']:.3g}",
            "Verdict": trust.verdict_word(one),
            "Seconds a training": f"{one['train_seconds']:.0f}",
        }
    st.table({key: {escape(name): row[key] for name, row in rows.items()} for key in rows[NAIVE["copy"]]})
    chosen = known["summary"][0].get("chosen")
    if chosen:
        st.caption(f"“auto” chose {escape(', '.join(chosen))}, from the other times only.")


def _title(method: str) -> str:
    name, _, settings = method.partition(" ")
    title = METHODS[name].title if name in METHODS else name
    return f"{title} {settings}".strip()


def closer(known: Told) -> None:
    """Draw which populations and genes are predicted, at one held-out time."""
    tested = list(dict.fromkeys(row["held_out"] for row in (*known["types"], *known["genes"])))
    if not tested:
        st.caption("No column holds cell types, and the states are not mapped to genes: no closer look.")
        return
    time = st.segmented_control("Time left out", tested, default=tested[0], required=True, key="report-time")
    left, right = st.columns(2, gap="large")
    with left:
        _types([row for row in known["types"] if row["held_out"] == time])
    with right:
        _genes([row for row in known["genes"] if row["held_out"] == time])


def _types(rows: Sequence[Mapping[str, Any]]) -> None:
    st.subheader("Which populations are predicted", anchor=False)
    if not any(row["headroom"] is not None for row in rows):
        st.caption("No cell type has enough cells here, or none has moved since the time before.")
        return
    saving.figure(validation.headroom_by_type(rows), name="headroom-by-type", alt="Headroom by cell type")
    st.caption(
        "How far the real cells of each type are from what the prediction brings to them. Types with fewer "
        "than 20 cells are left out; below 0 % a copy of the time before comes closer."
    )
    poor = [row["type"] for row in rows if row["verdict"] == "worse"]
    if poor:
        st.markdown(f"Predicted worse than by copying: {escape(', '.join(poor))}.")


def _genes(rows: Sequence[Mapping[str, Any]]) -> None:
    st.subheader("Which genes are predicted", anchor=False)
    if not rows:
        st.caption("The states of this model are not mapped to genes.")
        return
    saving.figure(validation.gene_distances(rows), name="gene-distances", alt="Distance of single genes")
    better = sum(row["model"] < row["copy"] for row in rows)
    st.caption(
        f"The genes that change most since the time before, as the states tell them; less is better. Of "
        f"{len(rows)} genes looked at, {better} are predicted better than by copying."
    )


def checks(known: Told) -> None:
    """Draw the checks with a known answer, each with what it means."""
    titles = {
        "permuted": "Times dealt out at random",
        "reversed": "Time run backwards",
        "split": "One time as two",
    }
    passed = {True: ("good", "passed"), False: ("error", "failed"), None: ("note", "for comparison")}
    for one in known["nulls"]:
        level, word = passed[one["passed"]]
        theme.finding(level, f"{titles[one['name']]}: {word}", report_words.null_words(one), "")
    if not known["nulls"]:
        st.caption("This report was made without them.")


def ensemble(known: Told) -> None:
    """Draw whether the bands of the ensemble hold what they say."""
    found = known["calibration"]
    if found is None:
        st.caption(
            "This method was trained once, so there is no band to check. An ensemble (Train, advanced "
            "settings) shows how far repeated trainings disagree."
            if known["rows"]
            else "No time can be held out to check the bands of the ensemble on."
        )
        return
    level = "good" if found["fine"] else "warning"
    theme.finding(
        level, f"Held {found['covered']:.0%}, meant 80 %", report_words.calibration_words(found), ""
    )


def alarms(known: Told) -> None:
    """Draw what was noticed that may look like motion and is something else."""
    if not known["alarms"]:
        st.caption(
            "Nothing was noticed: neither batches, depth, copied or few cells nor cell division look like "
            "the motion."
        )
        return
    overview.findings(known["alarms"])


def download(known: Told) -> None:
    """Draw the ways to keep the report: a file, and the line that makes it again."""
    with st.container(horizontal=True):
        st.download_button(
            "Download the report (JSON)",
            data=lambda: json.dumps(dict(known), indent=1).encode(),
            file_name="driftscope-report.json",
            mime="application/json",
            on_click="ignore",
            key="report-json",
        )
    with st.expander("How this was done"):
        st.markdown(escape(known["protocol"]["verdict_rule"], limit=2000))
        st.caption(escape(known["protocol"]["distance"], limit=400))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _time(row: Mapping[str, Any]) -> str:
    cells = f" · draws of {count(row['cells'], 'cell')} a side" if "cells" in row else ""
    return f"{trust.verdict_word(row)}{cells}"


def _unit(known: Told) -> str:
    unit = known["data"].get("unit", "")
    return "" if unit == "index" else unit
