"""What is drawn over the cells: streamlines, arrows, moving particles, predicted paths, names of groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dynamics.errors import DataError
from ui.cellmap import palettes
from ui.cellmap.buffers import reference
from ui.cellmap.colour import Categories

MAX_DRAWN_PATHS = 150
MAX_MOVING = 20_000


class StreamsLike(Protocol):
    """Anything with lines, their speed and their agreement, such as `dynamics.streamlines.Streamlines`."""

    lines: Sequence[np.ndarray]
    speed: Sequence[np.ndarray] | np.ndarray
    agreement: Sequence[np.ndarray] | np.ndarray | None


@dataclass(frozen=True)
class Streams:
    """Streamlines.

    Parameters
    ----------
    lines : sequence of (m, 2) or (m, 3)
        Points along each line, in the units of the embedding, in the direction of the flow.
    speed : sequence of (m,), or (n_lines,)
        Any unit; the width of a line grows with it. None draws one width.
    agreement : sequence of (m,), or (n_lines,)
        How far the velocities around a point agree, in [0, 1]; lines fade where they do not.
        None: full agreement.
    """

    lines: Sequence[np.ndarray]
    speed: Sequence[np.ndarray] | np.ndarray | None = None
    agreement: Sequence[np.ndarray] | np.ndarray | None = None


@dataclass(frozen=True)
class Arrows:
    """One arrow per place.

    Parameters
    ----------
    xy, uv : (m, 2) or (m, 3)
        Where the arrow starts and where it points, as drawn: in the units of the embedding.
    agreement : (m,)
        In [0, 1]; arrows fade where it is low.
    """

    xy: np.ndarray
    uv: np.ndarray
    agreement: np.ndarray | None = None


@dataclass(frozen=True)
class FlowField:
    """Velocities on a regular grid, through which particles drift when the user starts them (2-D only).

    Parameters
    ----------
    x, y : (nx,), (ny,)
        Grid coordinates, evenly spaced, ascending.
    u, v : (ny, nx)
        Velocity on the embedding, any unit of time: the animation is scaled to be comfortable to watch.
    mask : (ny, nx) bool
        True where there are cells; particles live only there.
    """

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Paths:
    """Predicted paths of cells, with a slider and a play button that move the cells along in the browser.

    Parameters
    ----------
    times : (T,)
        Monotonic, in `unit`; descending when cells are followed back.
    xy : (T, n, 2) or (T, n, 3)
        Places on the embedding. All `n` cells move; at most 150 paths, evenly chosen, are drawn as lines.
    inside : (T, n) bool
        False from where a path has left the data: dashed there. None: nowhere.
    apart : (T, n) bool
        True from where the members of an ensemble part, dotted there within the data. None: nowhere.
    groups
        Groups of the `n` paths, for their colours; None draws all in one colour.
    unit, label
        Unit of the times, and what moves: "predicted cells".
    """

    times: np.ndarray
    xy: np.ndarray
    inside: np.ndarray | None = None
    apart: np.ndarray | None = None
    groups: Categories | None = None
    unit: str = ""
    label: str = "predicted cells"


@dataclass(frozen=True)
class Layers:
    """What is drawn over the cells; each part may be left out."""

    streamlines: StreamsLike | None = None
    arrows: Arrows | None = None
    particles: FlowField | None = None
    paths: Paths | None = None
    labels: bool = True

    def message(self, dims: int) -> dict[str, object]:
        """What the browser is told of the layers."""
        return {
            "labels": self.labels,
            "streamlines": None if self.streamlines is None else _streams(self.streamlines, dims),
            "arrows": None if self.arrows is None else _arrows(self.arrows, dims),
            "particles": None if self.particles is None or dims != 2 else _particles(self.particles),
            "paths": None if self.paths is None else _paths(self.paths, dims),
        }


def _streams(streams: StreamsLike, dims: int) -> dict[str, object] | None:
    lines = [np.asarray(line, dtype=np.float32) for line in streams.lines if len(line) > 1]
    if not lines:
        return None
    _check_width("Streamlines", lines[0].shape[-1], dims)
    kept = [k for k, line in enumerate(streams.lines) if len(line) > 1]
    lengths = np.array([len(line) for line in lines])
    return {
        "xy": reference(np.concatenate(lines), "f4"),
        "starts": reference(np.concatenate([[0], np.cumsum(lengths)]), "i4"),
        "speed": _along(getattr(streams, "speed", None), kept, lengths),
        "agreement": _along(getattr(streams, "agreement", None), kept, lengths),
    }


def _along(values: Sequence[np.ndarray] | np.ndarray | None, kept: list[int], lengths: np.ndarray) -> object:
    """One number per point of each line, from one per point or one per line."""
    if values is None:
        return None
    parts = [
        np.broadcast_to(np.asarray(values[k], dtype=np.float32), (m,))
        for k, m in zip(kept, lengths, strict=True)
    ]
    return reference(np.nan_to_num(np.concatenate(parts)), "f4")


def _arrows(arrows: Arrows, dims: int) -> dict[str, object]:
    xy, uv = np.asarray(arrows.xy, dtype=np.float32), np.asarray(arrows.uv, dtype=np.float32)
    _check_width("Arrows", xy.shape[-1], dims)
    agreement = np.ones(len(xy)) if arrows.agreement is None else np.asarray(arrows.agreement)
    good = np.isfinite(xy).all(axis=1) & np.isfinite(uv).all(axis=1)
    return {
        "xy": reference(xy[good], "f4"),
        "uv": reference(uv[good], "f4"),
        "agreement": reference(np.nan_to_num(agreement[good]), "f4"),
    }


def _particles(field: FlowField) -> dict[str, object]:
    mask = np.asarray(field.mask, dtype=bool) & np.isfinite(field.u) & np.isfinite(field.v)
    x, y = np.asarray(field.x, dtype=float), np.asarray(field.y, dtype=float)
    if mask.shape != (len(y), len(x)):
        raise DataError(f"The flow grid is {mask.shape}, expected (ny, nx) = {(len(y), len(x))}.")
    return {
        "x0": float(x[0]),
        "y0": float(y[0]),
        "dx": float(x[-1] - x[0]) / max(len(x) - 1, 1),
        "dy": float(y[-1] - y[0]) / max(len(y) - 1, 1),
        "nx": len(x),
        "ny": len(y),
        "u": reference(np.where(mask, field.u, 0), "f4"),
        "v": reference(np.where(mask, field.v, 0), "f4"),
        "mask": reference(mask, "u1"),
    }


def _paths(paths: Paths, dims: int) -> dict[str, object]:
    xy = np.asarray(paths.xy, dtype=np.float32)
    n_times, n, width = xy.shape
    _check_width("Paths", width, dims)
    if len(paths.times) != n_times:
        raise DataError(f"Paths have {n_times} places in time but {len(paths.times)} times were given.")
    inside = np.ones((n_times, n), dtype=bool) if paths.inside is None else np.asarray(paths.inside, bool)
    apart = None if paths.apart is None else np.asarray(paths.apart, bool)
    moving = _evenly(n, MAX_MOVING)
    groups = paths.groups
    return {
        "times": [float(t) for t in paths.times],
        "unit": paths.unit,
        "label": paths.label,
        "n": len(moving),
        "total": n,
        "xy": reference(xy[:, moving], "f4"),
        "inside": reference(inside[:, moving], "u1"),
        "apart": None if apart is None else reference(apart[:, moving], "u1"),
        "drawn": _evenly(len(moving), MAX_DRAWN_PATHS).tolist(),
        "codes": None if groups is None else reference(np.asarray(groups.codes)[moving] % 65536, "u2"),
        "colours": [] if groups is None else list(groups.colours or ()),
        "missing": palettes.MISSING,
    }


def _evenly(n: int, most: int) -> np.ndarray:
    return (
        np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
        if n
        else np.zeros(0, np.int64)
    )


def _check_width(what: str, width: int, dims: int) -> None:
    if width != dims:
        raise DataError(
            f"{what} have {width} coordinates, the map has {dims}; project them onto the same embedding."
        )
