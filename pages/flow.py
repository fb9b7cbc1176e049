"""Flow: where cells are heading, drawn over the map."""

import streamlit as st

from ui import flowing, maps, nav, pickers, state
from ui.cellmap import cell_map

work = state.require("snapshots", "embedding", "model")
left, middle, right, last = st.columns([2, 3.4, 2.2, 2.2], vertical_alignment="bottom")
with left:
    name = pickers.colour_by(work, computed=flowing.computed(work))
with middle:
    time = pickers.time(work.snapshots)
with right:
    ways = [flowing.STREAMLINES, flowing.ARROWS, flowing.NOTHING]
    drawn = pickers.one_of("Draw", ways, key="drawn")
with last:
    fade = flowing.fade_switch(work)

grid = flowing.flow(work, time)
cell_map(
    state.key("flow-map", per="dataset"),
    xy=maps.places(work),
    colour=flowing.colour(work, name),
    layers=flowing.layers(grid, drawn=drawn, fade=fade),
    hover=maps.hover(work, besides=name),
    axes=maps.axes(work),
    height=maps.HEIGHT,
    faint=drawn != flowing.NOTHING,
    filename="flow",
    alt=f"Map of the cells coloured by {name}, with the flow of the model {work.entry.name}",
)
st.caption(flowing.caption(work, grid, time=time, name=name))
nav.link("trajectories", "Follow chosen cells through time", icon=":material/arrow_forward:")
