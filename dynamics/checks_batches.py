"""Batches that cannot be told from times, because each was taken at one of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dynamics.findings import Finding, note, warning
from dynamics.roles import BATCH_NAMES, Roles
from dynamics.time_column import plain_name
from dynamics.times import TimeAxis

STRAY = 0.05
"""Share of a batch's cells up to which cells at another time count as mislabelled."""
LISTED = 8
READ_WITH_CARE = (
    "Do not correct for this batch: the motion would go with it. Read large jumps between two times with care"
)


@dataclass(frozen=True)
class Nesting:
    """How the batches of a column lie over the times.

    Attributes
    ----------
    spans : (n_batches, n_times) bool
        Whether a batch has cells at a time, apart from a few that strayed.
    times
        Positions on the axis of the times that have a batch, in order.
    """

    key: str
    spans: np.ndarray
    times: tuple[int, ...]
    is_copy: bool

    @property
    def is_nested(self) -> bool:
        """Every batch was taken at one time."""
        return bool((self.spans.sum(axis=1) == 1).all())

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Neighbouring times that share no batch."""
        shared = (self.spans[:, :-1] & self.spans[:, 1:]).any(axis=0)
        return tuple((self.times[k], self.times[k + 1]) for k in np.flatnonzero(~shared))


def batch_findings(
    obs: pd.DataFrame, roles: Roles, *, axis: TimeAxis | None, index: np.ndarray
) -> Iterator[Finding]:
    """Say whether batch and time can be told apart.

    The batch is the column of that role; without one, columns that are named like a batch are looked at.

    Parameters
    ----------
    axis, index
        As `checks_time.read_axis` gives them.
    """
    if axis is None or len(axis) < 2:
        return
    known = [found for key in _candidates(obs, roles) if (found := nesting(obs, roles, key, index=index))]
    if not known or any(not found.gaps for found in known):
        return
    chosen = min(known, key=lambda found: (found.is_copy, len(found.gaps), len(found.spans)))
    if chosen.is_copy:
        yield note(
            "batch-copies-time",
            f'The column "{chosen.key}" says the same as the time column, so it tells nothing about batches.',
            "If another column names the sample, library or donor, choose it as batch under "
            '"What the columns mean".',
        )
    elif chosen.is_nested:
        yield _nested(chosen, axis)
    else:
        pairs = [f"{axis.name(early)} and {axis.name(late)}" for early, late in chosen.gaps]
        yield note(
            "batch-gaps",
            f'No batch ("{chosen.key}") has cells both at {_listed(pairs, "; nor at ")}. There a difference '
            "between batches cannot be told from a change over time; elsewhere shared batches help to.",
            "Read a jump between those times with more care than the others.",
        )


def nesting(obs: pd.DataFrame, roles: Roles, key: str, *, index: np.ndarray) -> Nesting | None:
    """Tell how the batches of a column lie over the times; None where there are not two of both."""
    batch = obs[key]
    used = batch.notna().to_numpy() & (index >= 0)
    codes, labels = pd.factorize(batch[used].to_numpy(dtype=object))
    times, place = np.unique(index[used], return_inverse=True)
    if len(labels) < 2 or len(times) < 2 or len(labels) > used.sum() // 2:
        return None
    cells = np.zeros((len(labels), len(times)), dtype=np.int64)
    np.add.at(cells, (codes, place), 1)
    spans = cells > STRAY * cells.sum(axis=1, keepdims=True)
    times_named = obs[roles.time_key][used]
    return Nesting(key, spans, tuple(int(k) for k in times), _says_the_same(batch[used], times_named))


def _candidates(obs: pd.DataFrame, roles: Roles) -> list[str]:
    if roles.batch_key is not None:
        return [roles.batch_key]
    taken = {roles.time_key, roles.cell_type_key, roles.condition_key, roles.clone_key}
    names = [name for name in obs.columns if name not in taken]
    return [
        name
        for name in names
        if any(re.fullmatch(pattern, plain_name(name)) for pattern in BATCH_NAMES)
        and not pd.api.types.is_float_dtype(obs[name].dtype)
    ]


def _nested(found: Nesting, axis: TimeAxis) -> Finding:
    numbers = found.spans.sum(axis=0)
    if (numbers == 1).all():
        return warning(
            "batch-is-time",
            f'Every batch ("{found.key}") was taken at one time and every time is one batch, so a difference '
            "between batches cannot be told from a change over time.",
            f"{READ_WITH_CARE}, and compare with a replicate if there is one.",
        )
    each = [f"{axis.name(k)}: {n}" for k, n in zip(found.times, numbers, strict=True)]
    return warning(
        "batch-is-time",
        f'Every batch ("{found.key}") was taken at one time only, so a difference between batches cannot be '
        f"told from a change over time. Batches per time: {_listed(each, ', ')}.",
        f"{READ_WITH_CARE}; where a time has several batches, colour the map by them: if they lie as far "
        "apart as neighbouring times do, the motion may be a batch effect.",
    )


def _says_the_same(batch: pd.Series, times: pd.Series) -> bool:
    """Whether two columns hold the same labels, as text or as numbers."""
    pairs = pd.DataFrame({"batch": batch.to_numpy(dtype=object), "time": times.to_numpy(dtype=object)})
    distinct = pairs.drop_duplicates()
    if len(distinct) > max(pairs["batch"].nunique(), pairs["time"].nunique()):
        return False
    return all(_plain(a) == _plain(b) for a, b in distinct.itertuples(index=False))


def _plain(label: object) -> str:
    text = str(label).strip().casefold()
    return text.removesuffix(".0")


def _listed(names: list[str], joint: str) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return joint.join(names[:LISTED]) + more
