"""Find the column that says when each cell was taken, and no pseudotime or quality measure instead."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dynamics.errors import TimeError
from dynamics.times import MANY_TIMES, TimeReading, read_labels, unit_hint

FEW = 12
ENOUGH = 5.0
"""Score from which a column is taken as the time."""

_NOT_A_TIME = re.compile(
    r"pseudo|latent|dpt|velocity|slingshot|palantir|monocle|diffusion|wishbone|(^|_)(pt|ptime|n|pct|score|log1p)(_|$)"
    r"|count|gene|umi|mito|ribo|doublet|size_?factor|cluster|leiden|louvain|phase|barcode|cell_?type|lineage"
    r"|entropy|cytotrace|confidence|run_?time|error|progress"
)
_WORDS = {
    "time": 9.0,
    "timepoint": 9.5,
    "timepoints": 9.5,
    "tp": 8.0,
    "times": 8.0,
    "stage": 8.0,
    "age": 7.0,
    "collection": 1.0,
    "snapshot": 6.0,
    "gestation": 6.0,
    "development": 2.0,
    "bin": 2.0,
    "binned": 2.0,
    "index": -1.0,
    "sim": -1.0,
}
_WEAK = {
    "sample",
    "samples",
    "group",
    "condition",
    "treatment",
    "orig",
    "ident",
    "batch",
    "dataset",
    "experiment",
}
_CLEAR_LABEL = re.compile(
    r"(?i)\be\d+\.\d|\bday|\bhour|\bweek|\d[\s_-]?(h|hrs?|hours?|days?|d|weeks?|wks?|[hdw]p[a-z]|min|months?)\b|\bd0\b|\b0d\b"
)
_DAY_AT_END = re.compile(r"[^\W_][\s_.-]+d\d+(\.\d+)?$")
"""A sample's name that ends in a day, as in "WT_d10"; a capital D mostly counts donors."""


@dataclass(frozen=True)
class Candidate:
    """A column that may hold the time."""

    name: str
    score: float
    reading: TimeReading
    reason: str


def time_candidates(obs: pd.DataFrame) -> list[Candidate]:
    """Columns that may hold the time of sampling, the likeliest first."""
    found = [candidate for name in obs.columns if (candidate := _judge(obs[name])) is not None]
    return sorted(found, key=lambda candidate: -candidate.score)


def find_time(obs: pd.DataFrame) -> Candidate | None:
    """The column that holds the time of sampling, None where no column is likely enough."""
    candidates = [candidate for candidate in time_candidates(obs) if candidate.score >= ENOUGH]
    return candidates[0] if candidates else None


def plain_name(name: object) -> str:
    """A column name in lower case with single underscores."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", str(name))
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def _judge(column: pd.Series) -> Candidate | None:
    name = plain_name(column.name)
    words = set(re.split(r"[_\d]+", name))
    if _NOT_A_TIME.search(name) or pd.api.types.is_bool_dtype(column.dtype):
        return None
    named = _name_score(words, unit_hint(column.name))
    if named == 0 and not (words & _WEAK) and _is_number(column):
        return None
    try:
        reading = read_labels(column)
    except TimeError:
        return None
    score, reason = _content_score(column, reading, weak=named == 0, words=words)
    one_time = len(np.unique(reading.values[np.isfinite(reading.values)])) < 2
    total = score + (min(named, ENOUGH - 1) if one_time else named)
    return (
        Candidate(str(column.name), total, reading, f'named "{column.name}"; {reason}') if score > 0 else None
    )


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype)


def _name_score(words: set[str], hint: str) -> float:
    score = max((points for word, points in _WORDS.items() if word in words and points > 5), default=0.0)
    score = max(score, 10.0 if hint and hint != "stage" else 0.0)
    if score == 0:
        return 0.0
    return (
        score
        + sum(points for word, points in _WORDS.items() if word in words and points <= 5)
        + 1 / len(words)
    )


def _content_score(
    column: pd.Series, reading: TimeReading, *, weak: bool, words: set[str]
) -> tuple[float, str]:
    """Points for what the column holds, 0 where it cannot be a time, and what was seen."""
    cells = np.asarray(reading.n_cells)
    known = np.isfinite(reading.values)
    n_values = len(np.unique(reading.values[known]))
    if n_values == 0 or cells[known].sum() < 0.5 * len(column):
        return 0.0, ""
    if weak and not _clear_enough(column, reading, words):
        return 0.0, ""
    many = n_values > MANY_TIMES
    if n_values > FEW and n_values > 0.2 * len(column):
        return 0.0, ""
    score = 1.0 if n_values == 1 else 0.5 if many else 3.0
    score += 3.0 if weak and words.isdisjoint({"batch"}) else 1.0 if weak else 0.0
    score -= 2.0 if np.median(cells[known]) < 5 else 0.0
    shown = ", ".join(reading.labels[:3]) + (", …" if len(reading.labels) > 3 else "")
    return max(score, 0.1), f"{n_values} time{'s' if n_values > 1 else ''} ({shown})"


def _clear_enough(column: pd.Series, reading: TimeReading, words: set[str]) -> bool:
    """Whether a column without a telling name holds labels that can be nothing but times."""
    readable = [
        label for label, value in zip(reading.labels, reading.values, strict=True) if np.isfinite(value)
    ]
    if any(_CLEAR_LABEL.search(label.replace("_", " ")) for label in readable):
        return len(readable) > 1 and len(np.unique(reading.values[np.isfinite(reading.values)])) > 1
    if all(_DAY_AT_END.search(label) for label in reading.labels):
        times = np.unique(reading.values)  # 1, 2, 3 may count donors; gaps between them tell days
        return len(times) > 1 and not np.array_equal(times, np.arange(1, len(times) + 1))
    consecutive = np.array_equal(reading.values, np.arange(len(reading.values)))
    return _is_number(column) and consecutive and len(readable) > 2 and bool(words & {"sample", "samples"})
