"""Work on fates: drawing paths of all cells, and what is kept of it beside the model. See `jobs.tasks`."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics import fates as telling
from dynamics import read, terminal
from dynamics.errors import DataError
from dynamics.fates import Fates
from dynamics.field import Progress, share
from dynamics.prior_growth import with_prior_growth
from dynamics.roles import Roles
from dynamics.terminal import TerminalStates
from jobs.work import say, workspace_of
from jobs.workspace import ModelEntry, write_json
from models import checkpoint, container, fitting

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots

FATES = ".fates"
"""Ending of the file beside a model with the fates of single cells; −9 for unknown."""

STATES = ".terminal"
"""Ending of the file beside a model with its terminal states as they were edited."""

UNKNOWN = -9.0
ARRAYS = ("probabilities", "low", "high", "without_growth", "reached", "unsupported", "by_member")


def fates(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Tell the fates of all cells of a data set, and keep them beside the model.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; `growth`: where growth is taken from; `draws`: paths for each cell of a
        stochastic model; `seed`. The terminal states are those kept with the model.
    """
    workspace = workspace_of(folder)
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    roles, growth = Roles.from_json(dataset.roles), str(params.get("growth", "none"))
    say(progress, 0.0, "Reading the data")
    adata, model = read.read_h5ad(dataset.file), checkpoint.load(entry.path)
    shots = fitting.check_fit(model, adata, roles)
    states = kept_states(entry, shots)
    if states is None:
        raise DataError("No terminal states are kept with this model. Choose some on the Fates page.")
    if growth == "genes":
        shots = with_prior_growth(shots, adata, roles)
    found = telling.fate_probabilities(
        shots,
        model,
        states,
        growth=growth,
        draws=int(params.get("draws", telling.DRAWS)),
        seed=int(params.get("seed", 0)),
        progress=share(progress, 0.05, 0.95),
    )
    say(progress, 0.95, "Keeping the fates")
    keep_fates(entry, found, key=name_of(shots, states, growth))
    return {"model": entry.id, "n_cells": shots.n_cells, "message": found.message}


def name_of(snapshots: "Snapshots", states: TerminalStates, growth: str) -> str:
    """Return a name for what fates were asked of: the cells, the terminal states, and growth."""
    digest = hashlib.sha256(f"{snapshots.fingerprint} {growth} {json.dumps(states.names)}".encode())
    digest.update(np.ascontiguousarray(states.codes, np.int64).tobytes())
    return digest.hexdigest()


def keep_fates(entry: ModelEntry, found: Fates, *, key: str) -> None:
    """Write fates beside a model, in place of those that were there."""
    given = {name: getattr(found, name) for name in ARRAYS}
    arrays = {
        name: np.nan_to_num(np.asarray(values, np.float32), nan=UNKNOWN)
        for name, values in given.items()
        if values is not None
    }
    told = {"names": list(found.names), "method": found.method, "n_draws": found.n_draws}
    container.keep(arrays, told | {"growth": found.growth}, entry.path.with_suffix(FATES), key=key)


def kept_fates(path: Path, *, key: str) -> Fates | None:
    """Return the fates beside a model, `path` its file; None where there are none for this key."""
    found = container.kept(path.with_suffix(FATES), key=key)
    if found is None:
        return None
    arrays, told = found
    values = {name: _told(arrays.get(name)) for name in ARRAYS}
    return Fates(names=tuple(told.pop("names")), **values, **told)


def keep_states(entry: ModelEntry, states: TerminalStates, snapshots: "Snapshots") -> None:
    """Write the terminal states beside a model."""
    content = terminal.to_json(states, snapshots) | {"fingerprint": snapshots.fingerprint}
    write_json(entry.path.with_suffix(STATES), content)


def forget_states(entry: ModelEntry) -> None:
    """Remove the terminal states beside a model, so that they are proposed anew."""
    entry.path.with_suffix(STATES).unlink(missing_ok=True)


def kept_states(entry: ModelEntry, snapshots: "Snapshots") -> TerminalStates | None:
    """Return the terminal states beside a model; None where there are none, or of other cells."""
    file = entry.path.with_suffix(STATES)
    if not file.exists():
        return None
    values = json.loads(file.read_bytes())
    if values.get("fingerprint") != snapshots.fingerprint:
        return None
    return terminal.from_json(values, snapshots)


def _told(values: np.ndarray | None) -> np.ndarray | None:
    if values is None:
        return None
    return np.where(values == UNKNOWN, np.nan, values).astype(np.float64)
