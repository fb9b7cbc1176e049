"""How figures look: one quiet template for light and dark pages, and colours that most can tell apart."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from dynamics.printable import printable

GRID = "rgba(127, 127, 127, 0.18)"
AXIS = "rgba(127, 127, 127, 0.6)"
MISSING = "#bdbdbd"
TEXT = 13

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#4D4D4D")
MORE = (
    "#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#CA9161", "#FBAFE4", "#949494",
    "#ECE133", "#56B4E9",
    "#1f77b4", "#ff7f0e", "#279e68", "#d62728", "#aa40fc", "#8c564b", "#e377c2", "#b5bd61",
    "#17becf", "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2",
    "#dbdb8d", "#9edae5", "#ad494a", "#8c6d31",
)  # fmt: skip
"""Beyond eight groups no set of colours is safe for everyone: names are shown as well."""

DASHES = ("solid", "dash", "dot", "dashdot")


LONGEST = 160
"""Letters of a name that are drawn; a longer one is cut."""
ACTING = {"{": "&#123;", "$": "&#36;"}
"""Signs that Plotly reads in templates (`%{x}`) and formulas (`$x$`), as it shows them."""


def escaped(name: object, *, limit: int = LONGEST) -> str:
    """Return a name from a file as text that Plotly shows as it is: no tag, link, template or formula."""
    text = html.escape(printable(name, limit=limit), quote=False)
    for sign, shown in ACTING.items():
        text = text.replace(sign, shown)
    return text


def named(names: Sequence[object], *, limit: int = LONGEST) -> list[str]:
    """Return names for the places of an axis; those that are the same when cut are numbered, not merged."""
    cut, seen = [], Counter()
    for name in names:
        text = escaped(name, limit=limit)
        seen[text] += 1
        cut.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return cut


def colours_for(names: Sequence[str], known: Mapping[str, str] | None = None) -> list[str]:
    """Return a colour for each name: the known one, else one of a colour-blind-safe palette in order."""
    palette = OKABE_ITO if len(names) <= len(OKABE_ITO) else MORE
    return [(known or {}).get(name, palette[k % len(palette)]) for k, name in enumerate(names)]


def faded(colour: str, opacity: float) -> str:
    """Return a colour "#rrggbb" with an opacity; other ways to write a colour are returned as they are."""
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    if not colour.startswith("#") or len(digits) < 6:
        return colour
    red, green, blue = (int(digits[k : k + 2], 16) for k in (0, 2, 4))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def banded(
    x: np.ndarray,
    band: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    name: str,
    group: str,
    line: Mapping[str, object],
) -> list[go.Scatter]:
    """Return a line in its band, (low, mean, high) of (n,) each, as two traces under one legend entry."""
    low, mean, high = band
    shape = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]]), "fill": "toself"}
    shade = {"fillcolor": faded(str(line["color"]), 0.16), "line": {"width": 0}, "showlegend": False}
    told = {"customdata": np.column_stack([low, high])}
    told["hovertemplate"] = "%{y:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f})"
    return [
        go.Scatter(mode="lines", legendgroup=group, hoverinfo="skip", **shape, **shade),
        go.Scatter(x=x, y=mean, mode="lines", legendgroup=group, name=escaped(name), line=dict(line), **told),
    ]


def styled(figure: go.Figure, *, x: str = "", y: str = "", height: int = 320) -> go.Figure:
    """Return the figure in the common style, with axis titles and a height in pixels."""
    axis = {"showgrid": True, "gridcolor": GRID, "zeroline": False, "linecolor": AXIS, "showline": True}
    axis |= {"ticks": "outside", "tickcolor": AXIS, "tickfont": {"size": TEXT - 1}, "automargin": True}
    figure.update_xaxes(axis | {"showgrid": False, "title": {"text": x, "font": {"size": TEXT}}})
    figure.update_yaxes(axis | {"title": {"text": y, "font": {"size": TEXT}}})
    figure.update_layout(
        height=height,
        margin={"l": 12, "r": 12, "t": 16, "b": 12},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"size": TEXT},
        legend={"font": {"size": TEXT - 1}, "bgcolor": "rgba(0, 0, 0, 0)", "itemsizing": "constant"},
        hoverlabel={"font": {"size": TEXT - 1}, "namelength": -1},
        hovermode="x unified",
        uirevision="kept",
    )
    return figure


def time_title(unit: str) -> str:
    """Return the title of a time axis."""
    if unit == "index":
        return "order of the time points"
    return f"time ({escaped(unit)})" if unit else "time"
