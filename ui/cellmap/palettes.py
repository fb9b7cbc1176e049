"""Colours for cell types and for values: the file's own if any, else colour-blind-safe where possible.

References
----------
Okabe & Ito, Color Universal Design, 2008 (up to 8 groups); seaborn's "colorblind" (up to 10); scanpy's
default palettes beyond: vega 20, Zeileis 28 and godsnot 102.
"""

from plotly import colors as plotly_colors

MISSING = "#bdbdbd"


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#4D4D4D")
COLOURBLIND_10 = (
    "#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC",
    "#CA9161", "#FBAFE4", "#949494", "#ECE133", "#56B4E9",
)  # fmt: skip
VEGA_20 = _split(
    """
    #1f77b4 #ff7f0e #279e68 #d62728 #aa40fc #8c564b #e377c2 #b5bd61 #17becf #aec7e8 #ffbb78
    #98df8a #ff9896 #c5b0d5 #c49c94 #f7b6d2 #dbdb8d #9edae5 #ad494a #8c6d31
    """
)
ZEILEIS_28 = _split(
    """
    #023fa5 #7d87b9 #bec1d4 #d6bcc0 #bb7784 #8e063b #4a6fe3 #8595e1 #b5bbe3 #e6afb9 #e07b91
    #d33f6a #11c638 #8dd593 #c6dec7 #ead3c6 #f0b98d #ef9708 #0fcfc0 #9cded6 #d5eae7 #f3e1eb
    #f6c4e1 #f79cd4 #7f7f7f #c7c7c7 #1CE6FF #336600
    """
)
GODSNOT_102 = _split(
    """
    #FFFF00 #1CE6FF #FF34FF #FF4A46 #008941 #006FA6 #A30059 #FFDBE5 #7A4900 #0000A6 #63FFAC
    #B79762 #004D43 #8FB0FF #997D87 #5A0007 #809693 #6A3A4C #1B4400 #4FC601 #3B5DFF #4A3B53
    #FF2F80 #61615A #BA0900 #6B7900 #00C2A0 #FFAA92 #FF90C9 #B903AA #D16100 #DDEFFF #000035
    #7B4F4B #A1C299 #300018 #0AA6D8 #013349 #00846F #372101 #FFB500 #C2FFED #A079BF #CC0744
    #C0B9B2 #C2FF99 #001E09 #00489C #6F0062 #0CBD66 #EEC3FF #456D75 #B77B68 #7A87A1 #788D66
    #885578 #FAD09F #FF8A9A #D157A0 #BEC459 #456648 #0086ED #886F4C #34362D #B4A8BD #00A6AA
    #452C2C #636375 #A3C8C9 #FF913F #938A81 #575329 #00FECF #B05B6F #8CD0FF #3B9700 #04F757
    #C8A1A1 #1E6E00 #7900D7 #A77500 #6367A9 #A05837 #6B002C #772600 #D790FF #9B9700 #549E79
    #FFF69F #201625 #72418F #BC23FF #99ADC0 #3A2465 #922329 #5B4534 #FDE8DC #404E55 #0089A3
    #CB7E98 #A4E804 #324E72
    """
)

SCALES = {
    "viridis": plotly_colors.sequential.Viridis,
    "cividis": plotly_colors.sequential.Cividis,
    "blue-red": plotly_colors.diverging.RdBu[::-1],
}


def for_groups(n: int) -> tuple[str, ...]:
    """Colours for `n` groups; groups beyond the 102nd share one grey."""
    for palette in (OKABE_ITO, COLOURBLIND_10, VEGA_20, ZEILEIS_28, GODSNOT_102):
        if n <= len(palette):
            return palette[:n]
    return GODSNOT_102 + (MISSING,) * (n - len(GODSNOT_102))


def for_levels(n: int, *, scale: str = "viridis") -> tuple[str, ...]:
    """`n` colours in equal steps along a colour scale: "viridis", "cividis" or the diverging "blue-red"."""
    knots = SCALES[scale]
    steps = [k / max(n - 1, 1) for k in range(n)]
    return tuple(_hex(c) for c in plotly_colors.sample_colorscale(knots, steps, colortype="tuple"))


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
