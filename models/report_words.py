"""A report in words: for a terminal, and the sentences that the app shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.report import PERMUTED


def lines(told: dict[str, Any]) -> list[str]:
    """Return a report, as `to_json` gives it, as a table for a terminal."""
    folds = list(dict.fromkeys(one["held_out"] for one in told["baselines"]))
    found = []
    if folds:
        head = f"{'W1 to the real cells':32}" + "".join(f"{fold:>12.12}" for fold in folds)
        found.append(f"{head}{'mean':>12}{'sd':>9}{'headroom':>10}{'s/fit':>8}")
    for name in ("copy", "ot-midpoint", "noise-floor") if folds else ():
        found.append(_line(name, [one["w1"] for one in told["baselines"] if one["name"] == name]))
    for one in told["summary"]:
        found += _method_lines(told, one, folds)
    for one in told["nulls"]:
        passed = {True: "passed", False: "FAILED", None: "for comparison"}[one["passed"]]
        found.append(f"check {one['name']}: {passed}. {null_words(one)}")
    if told["calibration"]:
        found.append(calibration_words(told["calibration"]))
    found += [f"{one['level']}: {one['message']} {one['fix']}" for one in told["alarms"]]
    return found


def _method_lines(told: dict[str, Any], one: dict[str, Any], folds: Sequence[str]) -> list[str]:
    mine = [row for row in told["rows"] if row["method"] == one["method"]]
    if not mine:
        return [f"{one['method']}: {one['verdict_text']}"]
    values = [float(np.mean([row["w1"] for row in mine if row["held_out"] == fold])) for fold in folds]
    sd = "" if one["w1_sd"] is None else f"{one['w1_sd']:.3g}"
    room = "" if one["headroom"] is None else f"{one['headroom']:.0%}"
    chose = f"; chose {', '.join(one['chosen'])}" if one["chosen"] else ""
    times = [row for row in told["times"] if row["method"] == one["method"]]
    return [
        f"{_line(one['method'], values)}{sd:>9}{room:>10}{one['train_seconds']:8.1f}",
        f"    {one['verdict']}: {one['verdict_text']}{chose}",
        *(f"    {row['held_out']}: {row['verdict_text']}" for row in times),
    ]


def null_words(one: dict[str, Any]) -> str:
    """Say what a check found and what that means."""
    if one["name"] == "split":
        ratio = one["moved"] / one["floor"] if one["floor"] > 0 else float("inf")
        stood_in = f" (by {one['stand_in']})" if one["stand_in"] else ""
        found = "No motion is found" if one["passed"] else "Motion is found"
        return (
            f"{found} where there is none: the cells of {one['time']}, dealt out as two times, are moved by "
            f"{one['moved']:.3g}{stood_in}, {ratio:.2g} times what chance sets the halves apart "
            f"({one['floor']:.3g}); the real next step is {one['step']:.3g}."
        )
    if one["name"] == PERMUTED:
        return (
            "With the times dealt out at random there is nothing to predict, and the report says so."
            if one["passed"]
            else "With the times dealt out at random the report still finds motion: do not trust its "
            "verdicts on this data set."
        )
    return (
        f"With time run backwards the method {one['verdict_text']}. Snapshots alone do not tell past from "
        "future: that the direction is right rests on the time labels."
    )


def calibration_words(one: dict[str, Any]) -> str:
    """Say what the bands of the ensemble held."""
    held = (
        f"The 80 % bands of the ensemble held {one['covered']:.0%} of {one['n_values']} means and quartiles "
        f"at {one['n_times']} held-out time{'s' if one['n_times'] > 1 else ''}"
    )
    if one["fine"]:
        return f"{held}: as they should."
    how = "widened" if one["factor"] > 1 else "narrowed"
    again = (
        ""
        if one["covered_widened"] is None
        else f" So corrected from the other times, they held {one['covered_widened']:.0%}."
    )
    return f"{held}, so ranges on the pages are {how} by {one['factor']:.2g} times.{again}"


def _line(name: str, values: Sequence[float]) -> str:
    return f"{name:32.32}" + "".join(f"{value:12.4g}" for value in [*values, float(np.mean(values))])
