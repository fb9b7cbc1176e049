"""Model files: tensors and a JSON header in one safetensors file. Nothing in it is executed.

A file is read as if it came from a stranger: its header is checked against what Driftscope itself would have
written before a single tensor is looked at.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dynamics.basis import StateBasis
from dynamics.errors import ModelError, SettingsError
from dynamics.times import TimeAxis
from models import container, networks
from models.card import check_summary, is_whole
from models.cell_model import CellModel
from models.clock import Clock
from models.config import MAX_MEMBERS, MAX_SEED, from_mapping, to_mapping
from models.container import FORMAT, OLDEST, PRODUCT_VERSION, Layout
from models.header import damaged, numbers, shown, take, texts, written
from models.methods import METHODS
from models.networks import Architecture

KIND = "driftscope-model"
MAX_TIMES, MAX_GENES, MAX_GENE_BYTES = 1_000, 200_000, 20_000_000
LARGEST = 1e18
ENTRIES = {
    "format",
    "kind",
    "sha256",
    "members",
    "name",
    "method",
    "settings",
    "seed",
    "whiten",
    "rep",
    "architecture",
    "times",
    "speeds",
    "basis",
    "fingerprint",
    "summary",
}
TIMES, BASIS = {"labels", "values", "unit", "n_cells"}, {"n_genes", "gene_bytes"}
FINGERPRINT = re.compile("[0-9a-f]{64}")
NOT_SAVED = ("seconds",)
"""Parts of the summary that differ between equal runs, and are left out of the file."""


def save(model: CellModel, path: Path) -> None:
    """Write a model to one file, whole or not at all; equal models give equal bytes."""
    tensors = {f"net.{name}": value.numpy() for name, value in model.net.state_dict().items()}
    for member, net in enumerate(model.others, 1):
        own = net.state_dict().items()
        tables = model.architecture.tables
        tensors |= {f"{_prefix(member)}{name}": value.numpy() for name, value in own if name not in tables}
    tensors |= {name: getattr(model, name) for name in ("shift", "scale", "low", "high")}
    if model.basis is not None:
        tensors |= {
            "basis.genes": np.frombuffer(_joined(model.basis.genes), np.uint8),
            "basis.loadings": np.asarray(model.basis.loadings, np.float32),
            "basis.mean": np.asarray(model.basis.mean, np.float32),
            "basis.r2": np.asarray(model.basis.r2, np.float32),
        }
    tensors = {name: np.array(tensors[name], order="C") for name in sorted(tensors)}
    container.write(tensors, _describe(model) | {"kind": KIND}, Path(path))


def load(path: Path) -> CellModel:
    """Read a model file.

    Raises
    ------
    ModelError
        Not a model file, truncated, changed since it was written, written by a newer Driftscope, or
        describing something that Driftscope would not write; the message says which, and what to do.
    """
    header, table = container.read(Path(path), KIND)
    architecture, axis = _checked(header)
    container.check_table(table, _layout(header, architecture))
    tensors = container.checked_tensors(Path(path), table, header)
    model = _rebuild(header, architecture, axis, tensors=tensors)
    for one in model.members:
        _check_answers(one)
    return model


def read_card(path: Path) -> dict[str, Any]:
    """Read what a model file says of itself, without its tensors: method, settings, times, summary, ..."""
    header, _ = container.read(Path(path), KIND)
    architecture, _ = _checked(header)
    card = {name: value for name, value in header.items() if name not in ("kind", "sha256", "architecture")}
    return {**card, "dim": architecture.dim, "members": _members(header)}


def _describe(model: CellModel) -> dict[str, Any]:
    """The header: everything about the model that is not a tensor."""
    axis, basis = model.axis, model.basis
    several = {"members": len(model.members)} if model.others else {}
    return {
        "format": FORMAT if several else OLDEST,
        **several,
        "name": written(model.name),
        "method": model.method,
        "settings": dict(model.settings),
        "seed": model.seed,
        "whiten": model.whiten,
        "rep": model.rep,
        "architecture": model.architecture.to_json(),
        "times": {
            "labels": [written(label) for label in axis.labels],
            "values": [float(value) for value in axis.values],
            "unit": written(axis.unit),
            "n_cells": [int(n) for n in axis.n_cells],
        },
        "speeds": [float(speed) for speed in model.clock.speeds],
        "basis": None
        if basis is None
        else {"n_genes": len(basis.genes), "gene_bytes": len(_joined(basis.genes))},
        "fingerprint": model.fingerprint,
        "summary": {name: value for name, value in model.summary.items() if name not in NOT_SAVED},
    }


def _joined(genes: Sequence[str]) -> bytes:
    """Names of genes in one text, a line each; each after a NUL where one of them holds a line break."""
    parted = any("\n" in gene for gene in genes)
    text = "\0" + "\0".join(genes) if parted else "\n".join(genes)
    return text.encode("utf-8", "replace")


def _is_usual(values: np.ndarray) -> bool:
    """Positive, and far from where float32 ends."""
    return bool(((values > 1 / LARGEST) & (values < LARGEST)).all())


def _checked(header: dict[str, Any]) -> tuple[Architecture, TimeAxis]:
    """Check all that a header tells without its tensors."""
    if set(header) - ENTRIES:
        raise damaged("its header holds entries that Driftscope does not write")
    architecture, axis = _architecture(header), _axis(take(header, "times", dict))
    speeds = np.array(numbers(take(header, "speeds", list), "speeds"))
    if len(speeds) != len(axis.values) - 1 or not _is_usual(speeds):
        raise damaged("its speeds are not positive, or beyond all measure")
    if not 0 <= take(header, "seed", int) <= MAX_SEED:
        raise damaged("its seed is impossible")
    take(header, "whiten", bool)
    texts([header.get(key) for key in ("name", "rep")], "name")
    if not FINGERPRINT.fullmatch(take(header, "fingerprint", str)):
        raise damaged("it does not say which cells it was trained on")
    if header.get("basis") is not None and take(header, "basis", dict).keys() != BASIS:
        raise damaged("its genes are not given")
    fits = METHODS[header["method"]].objective.tables_fit
    if not fits(architecture.tables, dim=architecture.dim, n_times=len(axis.values)):
        raise damaged("its tables do not belong to its method and times")
    check_summary(take(header, "summary", dict), n_times=len(axis.values))
    return architecture, axis


def _architecture(header: dict[str, Any]) -> Architecture:
    """Check method, settings and shape of the network."""
    method = METHODS.get(take(header, "method", str))
    if method is None:
        raise ModelError(
            f"The model was trained with the method '{shown(header['method'])}', which this Driftscope "
            f"({PRODUCT_VERSION}) does not have. Known: {', '.join(METHODS)}. Update Driftscope."
        )
    try:
        settings = from_mapping(method.settings, take(header, "settings", dict))
    except SettingsError as error:
        raise damaged(f"one of its settings is impossible ({str(error).rstrip('.')})") from None
    if to_mapping(settings) != header["settings"]:
        raise damaged("its settings are incomplete")
    sizes = take(header, "architecture", dict)
    if sizes.keys() != {item.name for item in fields(Architecture)} or not isinstance(sizes["heads"], dict):
        raise damaged("the shape of its network is not given")
    tables = take(sizes, "tables", dict)
    if not all(isinstance(shape, list) for shape in tables.values()):
        raise damaged("the shape of its tables is not given")
    shapes = {name: tuple(shape) for name, shape in tables.items()}
    architecture = Architecture(**{**sizes, "tables": shapes})
    expected = method.objective.kind, method.objective.heads(architecture.dim, settings)
    if (architecture.kind, architecture.heads) != expected:
        raise damaged("its network does not belong to its method")
    return architecture


def _members(header: dict[str, Any]) -> int:
    """Check the number of members of the ensemble; 1 where there is none."""
    if "members" not in header:
        return 1
    n = take(header, "members", int)
    if not 2 <= n <= MAX_MEMBERS or not METHODS[header["method"]].objective.evaluations:
        raise damaged(f"it speaks of an ensemble of {n:,} members")
    return n


def _layout(header: dict[str, Any], architecture: Architecture) -> Layout:
    """List the tensors that a model with this header must have, no more and no less."""
    dim = architecture.dim
    shapes = networks.shapes(architecture)
    layout = {f"net.{name}": ("F32", shape) for name, shape in shapes.items()}
    for member in range(1, _members(header)):
        own = {name: shape for name, shape in shapes.items() if name not in architecture.tables}
        layout |= {f"{_prefix(member)}{name}": ("F32", shape) for name, shape in own.items()}
    layout |= {name: ("F64", (dim,)) for name in ("shift", "scale", "low", "high")}
    if header.get("basis") is not None:
        sizes = take(header, "basis", dict)
        n_genes, n_bytes = take(sizes, "n_genes", int), take(sizes, "gene_bytes", int)
        if not (0 < n_genes <= MAX_GENES and 0 <= n_bytes <= MAX_GENE_BYTES):
            raise damaged(f"it speaks of {n_genes:,} genes")
        layout |= {"basis.genes": ("U8", (n_bytes,)), "basis.loadings": ("F32", (dim, n_genes))}
        layout |= {"basis.mean": ("F32", (n_genes,)), "basis.r2": ("F32", (n_genes,))}
    return layout


def _rebuild(
    header: dict[str, Any], architecture: Architecture, axis: TimeAxis, *, tensors: dict[str, np.ndarray]
) -> CellModel:
    ranges = {key: tensors[key].copy() for key in ("shift", "scale", "low", "high")}
    if not _is_usual(ranges["scale"]):
        raise damaged("its scales are not positive, or beyond all measure")
    if any((np.abs(one) > LARGEST).any() for one in ranges.values()) or (
        (ranges["low"] > ranges["high"]).any()
    ):
        raise damaged("its range of states is impossible")
    net, *others = (_network(architecture, tensors, member) for member in range(_members(header)))
    kept = ("name", "method", "settings", "seed", "whiten", "rep", "fingerprint", "summary")
    return CellModel(
        **{name: header[name] for name in kept},
        axis=axis,
        architecture=architecture,
        net=net,
        others=tuple(others),
        clock=Clock(axis.values, np.array(numbers(header["speeds"], "speeds"))),
        **ranges,
        basis=_basis(header, tensors),
    )


def _check_answers(model: CellModel) -> None:
    """Ask the model in the middle of its states and at their ends, at its times: the answers are numbers."""
    if model.has_growth and not _is_usual(model.net.growth_unit.numpy()):
        raise damaged("its rates of growth are not positive, or beyond all measure")
    states = torch.from_numpy(np.stack([model.shift, model.low, model.high]).astype(np.float32))
    for t in (model.times[0], sum(model.times) / 2, model.times[1]):
        answers = [model(t, states)]
        if model.has_growth:
            answers.append(model.growth(t, states))
        if model.has_landscape:
            answers.append(model.potential(t, states))
        if model.is_stochastic:
            answers += [*model.drifts(t, states), torch.from_numpy(model.noise(t))]
        if not all(bool((one.abs() < LARGEST).all()) for one in answers):
            raise damaged("its weights give no numbers, or such as are beyond all measure")


def _prefix(member: int) -> str:
    """How the names of a member's tensors begin."""
    return f"members.{member}." if member else "net."


def _network(architecture: Architecture, tensors: dict[str, np.ndarray], member: int) -> nn.Module:
    """Build the network of a member of the ensemble; its tables are those of the model itself."""
    net = networks.blank(architecture)
    kept = {name: tensors[f"net.{name}"] for name in architecture.tables}
    start = _prefix(member)
    kept |= {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in kept.items()})
    return net


def _axis(times: dict[str, Any]) -> TimeAxis:
    if times.keys() != TIMES:
        raise damaged("its times are incomplete")
    values = np.array(numbers(take(times, "values", list), "times"))
    labels = texts(take(times, "labels", list), "times")
    n_cells = take(times, "n_cells", list)
    if not 2 <= len(values) <= MAX_TIMES or not len(values) == len(labels) == len(n_cells):
        raise damaged("its times are incomplete")
    if (np.abs(values) > LARGEST).any() or not _is_usual(np.diff(values)) or not all(map(is_whole, n_cells)):
        raise damaged("its times do not rise")
    (unit,) = texts([times["unit"]], "unit")
    return TimeAxis(labels=labels, values=values, unit=unit, n_cells=tuple(n_cells))


def _basis(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> StateBasis | None:
    if header.get("basis") is None:
        return None
    try:
        text = tensors["basis.genes"].tobytes().decode()
    except UnicodeDecodeError:
        raise damaged("its gene names are not text") from None
    genes = tuple(text[1:].split("\0") if text.startswith("\0") else text.split("\n"))
    if len(genes) != header["basis"]["n_genes"] or len(set(genes)) != len(genes):
        raise damaged("its gene names are incomplete or repeated")
    kept = {name: tensors[f"basis.{name}"].copy() for name in ("loadings", "mean", "r2")}
    r2 = kept["r2"]
    if (r2 < 0).any() or (r2 > 1).any() or any((np.abs(one) > LARGEST).any() for one in kept.values()):
        raise damaged("what it knows of genes is impossible")
    return StateBasis(genes=genes, **kept)
