"""Terminal states: sets of measured cells in which fates end, and how they are edited."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans

from dynamics.errors import DataError

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots

MOST_ROWS = 2**40
BY_HAND = "hand"
"""Source of a state that somebody picked; the others are "types", "flow" and "ends"."""

MOST_STATES = 40


@dataclass(frozen=True, eq=False)
class TerminalStates:
    """Named sets of cells in which fates end. Every edit gives a new object.

    Attributes
    ----------
    names
        One for each state, no two alike.
    codes : (n,) int64
        State of each cell of the snapshots, −1 for none.
    sources
        For each state where it comes from: "types", "flow", "ends" or "hand".
    reasons
        For each state, in words, why it is one.
    forced : (n,) bool
        Cells that were put into their state by hand for good: nothing but another `force`, or removing the
        state, takes them out of it.
    left_out : (name, reason) pairs
        What was looked at and not taken.
    """

    names: tuple[str, ...]
    codes: np.ndarray = field(repr=False)
    sources: tuple[str, ...]
    reasons: tuple[str, ...] = field(repr=False)
    forced: np.ndarray = field(repr=False)
    left_out: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise DataError(f"Two terminal states have the same name: {', '.join(self.names)}.")
        if len(self.names) > MOST_STATES:
            raise DataError(f"{len(self.names)} terminal states are too many; {MOST_STATES} are the most.")
        for array in (self.codes, self.forced):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_cells(self) -> tuple[int, ...]:
        """Cells of each state."""
        return tuple(int(n) for n in np.bincount(self.codes[self.codes >= 0], minlength=len(self)))

    def cells(self, name: str) -> np.ndarray:
        """Positions in the snapshots of the cells of a state, (m,)."""
        return np.flatnonzero(self.codes == _known(self, name))


def empty(n_cells: int) -> TerminalStates:
    """Return no states over so many cells, to pick some by hand."""
    return TerminalStates((), np.full(n_cells, -1), (), (), np.zeros(n_cells, bool))


def from_codes(
    codes: np.ndarray,
    names: Sequence[str],
    *,
    source: str,
    reasons: Sequence[str] | None = None,
    left_out: Iterable[tuple[str, str]] = (),
) -> TerminalStates:
    """Make states from the code of each cell, (n,), −1 for none."""
    return TerminalStates(
        names=tuple(str(name) for name in names),
        codes=np.asarray(codes, np.int64).copy(),
        sources=(source,) * len(names),
        reasons=tuple(reasons or ("",) * len(names)),
        forced=np.zeros(len(codes), bool),
        left_out=tuple(left_out),
    )


def pick(states: TerminalStates, name: str, cells: np.ndarray) -> TerminalStates:
    """Put cells into a state, which is made if it is not there; forced cells of other states stay there."""
    cells = _checked(states, cells)
    cells = cells[~states.forced[cells]]
    if not len(cells):
        raise DataError("All of these cells were put into a state for good. Use “force” to move them.")
    return _put(states, name, cells)


def force(states: TerminalStates, name: str, cells: np.ndarray) -> TerminalStates:
    """Put cells into a state for good: a new proposal, and further picking, leave them there."""
    cells = _checked(states, cells)
    forced = states.forced.copy()
    forced[cells] = True
    return _put(replace(states, forced=forced), name, cells)


def merge(states: TerminalStates, names: Sequence[str], *, into: str | None = None) -> TerminalStates:
    """Make one state of several, named as the first of them unless another name is given."""
    chosen = sorted({_known(states, name) for name in names})
    if len(chosen) < 2:
        raise DataError("Choose two terminal states or more to merge.")
    name = _named(names[0] if into is None else into)
    first, merged = chosen[0], np.isin(states.codes, chosen)
    others = [k for k in range(len(states)) if k not in chosen]
    if name in {states.names[k] for k in others}:
        raise DataError(f"There is another terminal state named “{name}”. Choose another name.")
    codes = np.where(merged, first, states.codes)
    reason = f"{', '.join(states.names[k] for k in chosen)} taken together"
    return _compact(_changed(states, first, name=name, reason=reason, codes=codes))


def split(
    states: TerminalStates,
    name: str,
    *,
    states_of_cells: np.ndarray | None = None,
    cells: np.ndarray | None = None,
    names: tuple[str, str] | None = None,
    seed: int = 0,
) -> TerminalStates:
    """Cut a state in two: along its two-means clusters, or into the given cells and the rest.

    Parameters
    ----------
    states_of_cells : (n, dim)
        Where all cells lie; needed unless `cells` are given.
    names
        Of the larger and the smaller part, or of the given cells' complement and them.
    """
    mine = states.cells(name)
    if cells is not None:
        apart = np.isin(mine, _checked(states, cells))
    elif states_of_cells is None:
        raise DataError("To split a state, give the cells of one part, or where the cells lie.")
    elif len(mine) < 4:
        raise DataError(f"“{name}” has {len(mine)} cells: too few to be split in two.")
    else:
        found = KMeans(2, n_init=4, random_state=seed).fit_predict(states_of_cells[mine])
        apart = found == np.argmin(np.bincount(found, minlength=2))
    if apart.all() or not apart.any():
        raise DataError(f"Both parts of “{name}” must have cells; choose some of its {len(mine)}.")
    first, second = names or (f"{name} 1", f"{name} 2")
    codes = states.codes.copy()
    codes[mine[apart]] = len(states)
    k = _known(states, name)
    both = replace(
        states,
        names=(*states.names, _free(states, second)),
        codes=codes,
        sources=(*states.sources, states.sources[k]),
        reasons=(*states.reasons, f"part of {name}"),
    )
    return _changed(both, k, name=_free(both, first, but=k), reason=f"part of {name}")


def rename(states: TerminalStates, name: str, to: str) -> TerminalStates:
    """Give a state another name."""
    k = _known(states, name)
    return _changed(states, k, name=_free(states, _named(to), but=k))


def remove(states: TerminalStates, name: str) -> TerminalStates:
    """Take a state away; its cells belong to none."""
    k = _known(states, name)
    mine = states.codes == k
    codes = np.where(mine, -1, states.codes)
    return _compact(replace(states, codes=codes, forced=states.forced & ~mine))


def renewed(states: TerminalStates, proposal: TerminalStates) -> TerminalStates:
    """Return a new proposal, with the cells that were put into a state for good where they are."""
    result = proposal
    for k, name in enumerate(states.names):
        kept = np.flatnonzero(states.forced & (states.codes == k))
        if len(kept):
            result = force(result, name, kept)
    return result


def same(first: TerminalStates, second: TerminalStates) -> bool:
    """Tell whether two sets of states have the same names and cells."""
    return first.names == second.names and np.array_equal(first.codes, second.codes)


def to_json(states: TerminalStates, snapshots: "Snapshots") -> dict[str, Any]:
    """Return the states as plain values; cells by their rows in the data set."""
    return {
        "states": [
            {
                "name": name,
                "source": states.sources[k],
                "reason": states.reasons[k],
                "cells": snapshots.cells[states.codes == k].tolist(),
                "forced": snapshots.cells[states.forced & (states.codes == k)].tolist(),
            }
            for k, name in enumerate(states.names)
        ],
        "left_out": [{"name": name, "reason": reason} for name, reason in states.left_out],
    }


def from_json(values: Mapping[str, Any], snapshots: "Snapshots") -> TerminalStates:
    """Read what `to_json` gave. A list of names with cells, `{"states": [{"name", "cells"}]}`, is enough.

    Raises
    ------
    DataError
        It is not of this form, or names cells that the data set does not have.
    """
    result, listed = empty(snapshots.n_cells), _listed(values)
    for entry in listed:
        cells = _positions(snapshots, entry["cells"], entry["name"])
        result = _put(result, entry["name"], cells, source=str(entry.get("source", BY_HAND)))
        k = result.names.index(_named(entry["name"]))
        result = _changed(result, k, reason=str(entry.get("reason", "")) or None)
        if entry.get("forced"):
            forced = result.forced.copy()
            forced[_positions(snapshots, entry["forced"], entry["name"])] = True
            result = replace(result, forced=forced)
    return replace(result, left_out=_left_out(values))


def _listed(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = values.get("states") if isinstance(values, Mapping) else None
    form = '{"states": [{"name": "Monocyte", "cells": [0, 5, 12]}, …]}'
    if not isinstance(listed, list) or not all(
        isinstance(one, Mapping)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("cells"), list)
        and isinstance(one.get("forced") or [], list)
        for one in listed
    ):
        raise DataError(f"Terminal states are read as {form}, cells by their row in the data set from 0.")
    for one in listed:
        if not one["cells"]:
            raise DataError(
                f"The terminal state “{one['name']:.80}” has no cells. Give it some, or leave it out."
            )
    return listed


def _left_out(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    told = values.get("left_out") or []
    if not isinstance(told, list) or not all(isinstance(one, Mapping) for one in told):
        raise DataError("What was left out of the terminal states is not a list of names with reasons.")
    return tuple((str(one.get("name", ""))[:200], str(one.get("reason", ""))[:400]) for one in told)


def _positions(snapshots: "Snapshots", cells: Sequence[int], name: str) -> np.ndarray:
    """Return where rows of the data set are in the snapshots."""
    if not all(type(cell) is int and 0 <= cell < MOST_ROWS for cell in cells):
        raise DataError(f"The cells of “{name}” must be rows of the data set, whole numbers from 0.")
    found = np.flatnonzero(np.isin(snapshots.cells, np.asarray(cells, np.int64)))
    if len(found) < len(set(cells)):
        raise DataError(
            f"{len(set(cells)) - len(found):,} of the {len(set(cells)):,} cells of “{name}” are not among "
            f"the {snapshots.n_cells:,} cells with a time here. Use the file that they were picked on."
        )
    return found


def _put(states: TerminalStates, name: str, cells: np.ndarray, *, source: str = BY_HAND) -> TerminalStates:
    name = _named(name)
    if name not in states.names:
        states = replace(
            states,
            names=(*states.names, name),
            sources=(*states.sources, source),
            reasons=(*states.reasons, "picked by hand"),
        )
    codes = states.codes.copy()
    codes[cells] = states.names.index(name)
    return _compact(replace(states, codes=codes))


def _compact(states: TerminalStates) -> TerminalStates:
    """Drop states without cells."""
    used = [k for k, n in enumerate(states.n_cells) if n]
    place = np.full(len(states) + 1, -1)
    place[used] = np.arange(len(used))
    return replace(
        states,
        names=tuple(states.names[k] for k in used),
        codes=place[states.codes],
        sources=tuple(states.sources[k] for k in used),
        reasons=tuple(states.reasons[k] for k in used),
    )


def _changed(
    states: TerminalStates,
    k: int,
    *,
    name: str | None = None,
    reason: str | None = None,
    codes: np.ndarray | None = None,
) -> TerminalStates:
    names, reasons = list(states.names), list(states.reasons)
    if codes is not None:  # a state that is given up may still have the name that another one now takes
        used = np.bincount(codes[codes >= 0], minlength=len(names))
        names = [one if used[at] else f"\0{at}" for at, one in enumerate(names)]
    names[k], reasons[k] = name or names[k], reason or reasons[k]
    codes = states.codes if codes is None else codes
    return replace(states, names=tuple(names), reasons=tuple(reasons), codes=codes)


def _checked(states: TerminalStates, cells: np.ndarray) -> np.ndarray:
    cells = np.unique(np.asarray(cells, np.int64))
    if not len(cells):
        raise DataError("No cell is chosen. Draw around some cells on the map, or choose a cell type.")
    if cells[0] < 0 or cells[-1] >= len(states.codes):
        raise DataError(f"There are {len(states.codes):,} cells; {cells[-1]:,} is not one of them.")
    return cells


def _known(states: TerminalStates, name: str) -> int:
    if name not in states.names:
        raise DataError(
            f"There is no terminal state “{name}”; there are {', '.join(states.names) or 'none'}."
        )
    return states.names.index(name)


def _named(name: str) -> str:
    name = " ".join(str(name).split())
    if not name:
        raise DataError("A terminal state needs a name.")
    return name[:80]


def _free(states: TerminalStates, name: str, *, but: int = -1) -> str:
    if name in [one for k, one in enumerate(states.names) if k != but]:
        raise DataError(f"There is another terminal state named “{name}”. Choose another name.")
    return name
