"""What cells are coloured by: groups (cell type, time, condition) or values (a gene, a score)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dynamics.errors import DataError
from ui.cellmap import palettes

N_LEVELS = 28
MAX_GROUPS = 65_000
NAMED_COLOUR = re.compile(
    r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$|#[0-9a-fA-F]{3}$|[a-zA-Z]{3,24}$|rgba?\([\d.,% ]+\)$"
)


@dataclass(frozen=True)
class Categories:
    """Cells coloured by group.

    Parameters
    ----------
    codes : (n,) int
        Group of each cell, -1 where it has none (drawn grey).
    names
        Names of the groups, in the order of the legend. Text only: markup in them is shown, not interpreted.
    colours
        One CSS colour per group; None takes a colour-blind-safe palette where the number of groups allows it.
    label
        What the groups are, for the legend: "cell type".
    """

    codes: np.ndarray
    names: tuple[str, ...]
    colours: tuple[str, ...] | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if len(self.names) > MAX_GROUPS:
            raise DataError(
                f"“{self.label}” has {len(self.names):,} different values; "
                f"a map can show {MAX_GROUPS:,}. Choose a column with fewer groups, or one of numbers."
            )
        colours = self.colours
        if colours is None or len(colours) < len(self.names):
            colours = palettes.for_groups(len(self.names))
        safe = (c if NAMED_COLOUR.match(str(c)) else palettes.MISSING for c in colours[: len(self.names)])
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "colours", tuple(safe))

    @cached_property
    def clean(self) -> np.ndarray:
        """The codes as they are sent, (n,) uint8 or uint16, the highest number where a cell has no group."""
        kind, codes = np.uint16 if len(self.names) > 254 else np.uint8, np.asarray(self.codes)
        known = (codes >= 0) & (codes < len(self.names))
        return _fixed(np.where(known, codes, np.iinfo(kind).max).astype(kind))

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Levels:
    """Cells coloured by a value, low values drawn first.

    Parameters
    ----------
    values : (n,) float
        NaN where missing (drawn grey).
    label
        What the values are, for the colour bar: a gene, "confidence".
    vmin, vmax
        Ends of the colour scale; by default the smallest value and the 99th percentile.
    centre
        Value at the middle of a diverging scale, such as 0 for a change; the scale becomes blue–red.
    scale
        "viridis", "cividis" or "blue-red".
    unit
        Unit of the values, for the colour bar.
    """

    values: np.ndarray
    label: str = ""
    vmin: float | None = None
    vmax: float | None = None
    centre: float | None = None
    scale: str = "viridis"
    unit: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def limits(self) -> tuple[float, float]:
        """Ends of the colour scale, always `low < high`."""
        values = np.asarray(self.values, dtype=np.float32)
        finite = values[np.isfinite(values)]
        if not finite.size:
            return 0.0, 1.0
        low = float(finite.min()) if self.vmin is None else float(self.vmin)
        high = robust_top(finite) if self.vmax is None else float(self.vmax)
        if self.centre is not None:
            reach = max(
                high - self.centre, self.centre - (robust_bottom(finite) if self.vmin is None else low)
            )
            low, high = self.centre - reach, self.centre + reach
        return (low, high) if high > low else (low, low + 1.0)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The limits, worked out once."""
        return self.limits()

    @cached_property
    def levels(self) -> np.ndarray:
        """The codes, worked out once; read-only."""
        return _fixed(self.codes())

    def codes(self) -> np.ndarray:
        """Level of each cell, (n,) uint8, in equal steps between the limits; 255 where missing."""
        low, high = self.ends
        values = np.asarray(self.values, dtype=np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            level = np.clip((values - low) * (N_LEVELS / (high - low)), 0, N_LEVELS - 1)
        return np.where(np.isnan(level), 255, np.nan_to_num(level)).astype(np.uint8)

    def colours(self) -> tuple[str, ...]:
        """One colour per level."""
        scale = "blue-red" if self.centre is not None and self.scale == "viridis" else self.scale
        return palettes.for_levels(N_LEVELS, scale=scale)


Colour = Categories | Levels


def _fixed(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def robust_top(finite: np.ndarray) -> float:
    """The 99th percentile, or the maximum where hardly any cell is above the lowest value (a rare gene)."""
    top = float(np.percentile(finite, 99))
    return top if top > float(finite.min()) else float(finite.max())


def robust_bottom(finite: np.ndarray) -> float:
    """The 1st percentile, or the minimum where that is the top already."""
    bottom = float(np.percentile(finite, 1))
    return bottom if bottom < float(finite.max()) else float(finite.min())


def categories(
    column: pd.Series | Sequence[object] | np.ndarray,
    *,
    label: str = "",
    colours: Sequence[str] | Mapping[str, str] | None = None,
) -> Categories:
    """Groups from a column of `obs`: categories keep their order, other values are sorted.

    Parameters
    ----------
    column : (n,)
        Any column; missing values stay without a group.
    label
        What the groups are; by default the name of the column.
    colours
        Colours in the order of the categories (as in `uns["<key>_colors"]`), or by name.
    """
    series = column if isinstance(column, pd.Series) else pd.Series(column)
    if not isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype("category")
    names = tuple(str(name) for name in series.cat.categories)
    if isinstance(colours, Mapping):
        fallback = palettes.for_groups(len(names))
        colours = [str(colours.get(name, fallback[k])) for k, name in enumerate(names)]
    chosen = tuple(str(c) for c in colours) if colours is not None else None
    return Categories(series.cat.codes.to_numpy(), names, chosen, label or str(series.name or ""))


def ordered(column: pd.Series | Sequence[object] | np.ndarray, *, label: str = "") -> Categories:
    """Groups that have an order, such as time points: coloured along viridis from first to last."""
    groups = categories(column, label=label)
    return Categories(groups.codes, groups.names, palettes.for_levels(len(groups.names)), groups.label)
