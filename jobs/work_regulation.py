"""Work on regulation: networks of every region and stability, and what is kept of it beside the model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics import read, regulators
from dynamics.basis import log_expression
from dynamics.field import Progress, share
from dynamics.fixed_points import NAMES
from dynamics.regions import Regions, regions
from dynamics.regulation import Panel, Regulation, choose_genes, panel, regulate
from dynamics.regulation_checks import added, to_json
from dynamics.roles import Roles
from dynamics.stability_map import StabilityMap, stability_map
from jobs.work import say, workspace_of
from jobs.workspace import ModelEntry
from models import checkpoint, container, fitting

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.basis import StateBasis
    from dynamics.snapshots import Snapshots

REGULATION = ".regulation"
"""Ending of the file beside a model with its candidate networks."""
TABLES = ("score", "low", "high", "agree", "effect", "correlation", "partial", "prior")
UNKNOWN = -9e9
VERSION = 1


@dataclass(frozen=True, eq=False)
class Kept:
    """What a job found on the regulation in a data set.

    Attributes
    ----------
    networks
        One for each region; empty where the model knows no genes.
    kinds, names
        Of the regions, as in `dynamics.regions.Regions`.
    added
        Figures of the check of what the model adds over correlation; None where there is no network.
    rows, divergence, fastest, turning, agree : (m,)
        As in `dynamics.stability_map.StabilityMap`.
    points : (p, dim)
        Fixed points, with `about`: for each its kind, time, fastest rate, distance, and agreement.
    prior_edges
        Edges of the prior network that was given.
    """

    networks: tuple[Regulation, ...] = field(repr=False)
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    added: Mapping[str, Any] | None
    rows: np.ndarray = field(repr=False)
    divergence: np.ndarray = field(repr=False)
    fastest: np.ndarray = field(repr=False)
    turning: np.ndarray = field(repr=False)
    agree: np.ndarray = field(repr=False)
    points: np.ndarray = field(repr=False)
    about: tuple[Mapping[str, Any], ...]
    named: int
    prior_edges: int


def regulation(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Make the candidate networks of every region, and see where cells gather and part.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; `regulators`: names of transcription factors, none for all genes;
        `prior`: edges [regulator, target, sign] of a prior network.
    """
    workspace = workspace_of(folder)
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    roles, model = Roles.from_json(dataset.roles), checkpoint.load(entry.path)
    say(progress, 0.0, "Reading the data")
    adata = read.read_h5ad(dataset.file)
    shots = fitting.check_fit(model, adata, roles)
    say(progress, 0.1, "Working out stability")
    stable = stability_map(model, shots, progress=share(progress, 0.1, 0.4))
    labels = None
    if roles.cell_type_key:
        labels = adata.obs[roles.cell_type_key].astype("category").iloc[shots.cells]
    found = regions(shots, labels, velocity=model)
    networks, checked = (), None
    if model.basis is not None:
        genes = panel_of(adata, roles, shots, basis=model.basis, regulators=params.get("regulators", ()))
        prior = regulators.prior_table([tuple(edge) for edge in params.get("prior", ())], *genes.names)
        networks = regulate(
            model,
            shots,
            genes,
            basis=model.basis,
            regions=found.cells,
            prior=prior,
            progress=share(progress, 0.4, 0.9),
        )
        say(progress, 0.9, "Comparing with correlation")
        checked = to_json(added(model, shots, genes, basis=model.basis))
    told = {"named": len(params.get("regulators", ())), "prior_edges": len(params.get("prior", ()))}
    keep(entry, networks, found, stable, told=told | {"added": checked}, key=shots.fingerprint)
    return {"model": entry.id, "networks": len(networks)}


def panel_of(
    adata: "AnnData", roles: Roles, shots: "Snapshots", *, basis: "StateBasis", regulators: object = ()
) -> Panel:
    """Choose the genes of a network and take their measured levels at the cells of the snapshots."""
    some = [name for name in basis.genes if name in adata.var_names]
    factors, targets = choose_genes(basis, list(regulators))
    there = set(some)
    factors, targets = ([name for name in names if name in there] for names in (factors, targets))
    names = list(dict.fromkeys([*factors, *targets]))
    levels = log_expression(adata, roles)[:, adata.var_names.get_indexer(names)]
    levels = levels.toarray() if sparse.issparse(levels) else np.asarray(levels)
    return panel(levels[shots.cells], names, factors, targets)


def keep(
    entry: ModelEntry,
    networks: list[Regulation] | tuple[()],
    found: Regions,
    stable: StabilityMap,
    *,
    told: Mapping[str, Any],
    key: str,
) -> None:
    """Write what was found beside a model, in place of what was there."""
    arrays = {name: getattr(stable, name) for name in ("rows", "divergence", "fastest", "turning", "agree")}
    arrays["points"] = np.concatenate([one.states for one in stable.points])
    for name in TABLES if networks else ():
        arrays[name] = np.stack([getattr(one, name) for one in networks]).astype(np.float32)
    arrays = {name: np.nan_to_num(values, nan=UNKNOWN) for name, values in arrays.items()}
    text = {
        **told,
        "version": VERSION,
        "kinds": found.kinds,
        "names": found.names,
        "about": [one for points in stable.points for one in _points(points)],
    }
    if networks:
        text |= {
            "regulators": networks[0].regulators,
            "targets": networks[0].targets,
            "chance": [one.chance for one in networks],
            "n_cells": [one.n_cells for one in networks],
            "n_members": networks[0].n_members,
        }
    container.keep(arrays, text, entry.path.with_suffix(REGULATION), key=key)


def kept(path: Path, *, key: str) -> Kept | None:
    """Return what is kept beside a model, `path` its file; None where there is nothing for these cells."""
    found = container.kept(path.with_suffix(REGULATION), key=key)
    if found is None:
        return None
    arrays, told = found
    known = {name: _known(values) for name, values in arrays.items()}
    names = ("rows", "divergence", "fastest", "turning", "agree", "points")
    return Kept(
        _networks(known, told),
        tuple(told["kinds"]),
        tuple(told["names"]),
        told["added"],
        **{name: known[name] for name in names},
        about=tuple(told["about"]),
        named=told["named"],
        prior_edges=told["prior_edges"],
    )


def signature(path: Path) -> str:
    """Return a name for what is kept beside a model, which changes when that changes; empty without any."""
    file = path.with_suffix(REGULATION)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def _networks(known: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> tuple[Regulation, ...]:
    if "regulators" not in told:
        return ()
    return tuple(
        Regulation(
            tuple(told["regulators"]),
            tuple(told["targets"]),
            **{name: known[name][k] for name in TABLES},
            chance=told["chance"][k],
            n_cells=told["n_cells"][k],
            n_members=told["n_members"],
        )
        for k in range(len(told["names"]))
    )


def _points(found: Any) -> list[dict[str, Any]]:
    """Return what is told of each fixed point of a time, as JSON holds it."""
    return [
        {
            "time": found.time,
            "kind": NAMES.index(str(found.kind[k])),
            "fastest": float(found.fastest[k]),
            "n_unstable": int(found.n_unstable[k]),
            "distance": float(found.distance[k]),
            "agreed": float(found.agreed[k]) if np.isfinite(found.agreed[k]) else None,
        }
        for k in range(len(found.states))
    ]


def _known(values: np.ndarray) -> np.ndarray:
    return (
        np.where(values == np.asarray(UNKNOWN, values.dtype), np.nan, values)
        if values.dtype.kind == "f"
        else values
    )
