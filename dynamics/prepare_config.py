"""The settings of preparing a data set, and the words in which they are shown."""

import dataclasses
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin, get_type_hints

from dynamics.embedding import MIN_DIST, N_NEIGHBOURS
from dynamics.errors import SettingsError

MODES = {"auto": "automatic", "redo": "do it again", "skip": "skip"}


def _mode(label: str, description: str) -> Any:
    """Whether a step is done, reused or left out."""
    about = {"label": label, "help": description, "choices": MODES, "advanced": True}
    return field(default="auto", metadata=about)


def _number(default: Any, label: str, description: str, **about: Any) -> Any:
    """A number with its limits."""
    return field(default=default, metadata={"label": label, "help": description, **about})


@dataclass(frozen=True)
class PrepareConfig:
    """How to prepare a data set.

    The mode of a step is "auto" (reuse what is there), "redo" or "skip". Thresholds that are None are taken
    from the data.
    """

    min_genes: int | None = _number(
        None,
        "Fewest genes per cell",
        "Cells in which fewer genes were seen are removed. Empty: far below the other cells.",
        min=0,
        unit="genes",
    )
    max_mitochondrial: float | None = _number(
        None,
        "Most mitochondrial counts",
        "Cells with a higher share of mitochondrial counts, often damaged, are removed. Empty: from the "
        "data.",
        min=0.0,
        max=100.0,
        unit="%",
    )
    n_top_genes: int = _number(
        2000,
        "Variable genes",
        "How many of the most variable genes the principal components are made from; all other genes stay in "
        "the file.",
        min=2,
        max=50_000,
    )
    n_map_dims: int = field(
        default=2,
        metadata={
            "label": "Map",
            "help": "Dimensions of the UMAP.",
            "choices": {2: "flat (2-D)", 3: "in space (3-D)"},
        },
    )
    min_counts: float | None = _number(
        None, "Fewest counts per cell", "Empty: far below the other cells.", min=0.0, advanced=True
    )
    max_counts: float | None = _number(
        None,
        "Most counts per cell",
        "Cells with more are often two in one. Empty: far above the other cells.",
        min=1.0,
        advanced=True,
    )
    min_cells: int | None = _number(
        None,
        "Fewest cells per gene",
        "Genes seen in fewer cells are removed. Empty: 3.",
        min=0,
        unit="cells",
        advanced=True,
    )
    target_sum: float | None = _number(
        None,
        "Counts per cell after normalising",
        "Every cell is scaled to this total. Empty: the median of the cells.",
        min=1.0,
        advanced=True,
    )
    n_pcs: int = _number(
        50, "Principal components", "At most as many as cells or genes allow.", min=2, max=200, advanced=True
    )
    n_map_pcs: int = _number(
        30,
        "Components for the map",
        "How many principal components neighbours and UMAP are made from.",
        min=2,
        max=200,
        advanced=True,
    )
    n_neighbours: int = _number(
        N_NEIGHBOURS,
        "Neighbours",
        "More show the large picture, fewer show detail.",
        min=2,
        max=200,
        advanced=True,
    )
    min_dist: float = _number(
        MIN_DIST,
        "Least distance on the map",
        "Smaller values pack similar cells more tightly.",
        min=0.0,
        max=1.0,
        advanced=True,
    )
    seed: int = _number(0, "Seed", "The same seed gives the same map.", min=0, max=2**31 - 1, advanced=True)
    quality: str = _mode("Quality control", "Remove cells with too few or too many counts, or damaged ones.")
    normalise: str = _mode("Normalise", "Scale every cell to the same total of counts.")
    log: str = _mode("Logarithm", "Take log(1 + x) of the normalised counts.")
    genes: str = _mode("Choose variable genes", "Rank genes by how much they vary for their level.")
    pca: str = _mode("Principal components", "Describe each cell by a few dozen numbers.")
    neighbours: str = _mode("Neighbours", "Find the most similar cells of each cell.")
    umap: str = _mode("UMAP", "Draw the cells as a map.")

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            _check(setting, getattr(self, setting.name))
        if self.min_counts is not None and self.max_counts is not None and self.min_counts > self.max_counts:
            raise SettingsError(
                f"min_counts is {self.min_counts:g}, max_counts {self.max_counts:g}; no cell can pass both."
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "PrepareConfig":
        """Read settings by name, numbers also as text ("min_genes": "200"; "" and "none" stand for None).

        Raises
        ------
        SettingsError
            A name is unknown (the message lists the known ones), or a value does not fit.
        """
        hints = get_type_hints(cls)
        unknown = sorted(set(values) - set(hints))
        if unknown:
            raise SettingsError(
                f"There is no setting {unknown[0]!r} for preparing; there are {', '.join(hints)}."
            )
        return cls(**{name: _parsed(name, value, hints[name]) for name, value in values.items()})

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return dataclasses.asdict(self)


def _parsed(name: str, value: Any, hint: Any) -> Any:
    """Bring a value to the type of its setting."""
    is_optional = get_origin(hint) in (Union, types.UnionType)
    kind = get_args(hint)[0] if is_optional else hint
    if is_optional and (value is None or str(value).strip().lower() in ("", "none", "auto")):
        return None
    if kind is str:
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{name} must be a number; {value!r:.80} was given.") from None
    if not math.isfinite(number):
        raise SettingsError(f"{name} must be a number with an end; {value!r:.80} was given.")
    if kind is float:
        return number
    if number != round(number):
        raise SettingsError(f"{name} must be a whole number; {value!r:.80} was given.")
    return round(number)


def _check(setting: dataclasses.Field, value: Any) -> None:
    """Refuse a value outside the limits of its setting."""
    about = setting.metadata
    if value is None:
        return
    choices = about.get("choices")
    if choices and value not in choices:
        raise SettingsError(
            f"{setting.name} must be one of {', '.join(map(str, choices))}; it is {value!r:.80}."
        )
    low, high = about.get("min"), about.get("max")
    if (low is not None and value < low) or (high is not None and value > high) or value != value:
        limits = f"at least {low}" if high is None else f"between {low} and {high}"
        raise SettingsError(f"{setting.name} must be {limits}; it is {value}.")
