"""The map on the Data page: are these the cells I know?"""

import streamlit as st

from ui import maps, pickers, state
from ui.cellmap import cell_map
from ui.text import escape


def draw(work: state.Workspace) -> None:
    """Draw the cells on their map, coloured by time or whatever is chosen."""
    name = pickers.colour_by(work, default=work.roles.time_key)
    places = maps.places(work)
    cell_map(
        state.key("preview", per="dataset"),
        xy=places,
        colour=maps.colour(work, name),
        hover=maps.hover(work, besides=name),
        alt=f"{len(places):,} cells on {work.roles.embedding}, coloured by {name}",
        axes=maps.axes(work),
        height=520,
        filename="cells",
    )
    st.caption(
        f"{len(places):,} cells on {escape(work.roles.embedding)}, coloured by {escape(name)}; "
        "measured cells only, no prediction."
    )
