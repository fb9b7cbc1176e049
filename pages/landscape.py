"""Landscape: heights that cells roll down, over the map, and the least-action paths between two states."""

import streamlit as st

from dynamics.landscape import MODEL
from ui import landscape_ways, landscaping, maps, pickers, state, theme
from ui.cellmap import cell_map, selected

work = state.require("snapshots", "embedding", "model")
key, places = state.key("landscape-map", per="dataset"), maps.places(work)
columns = st.columns([2, 3.4, 2.2, 1.8], vertical_alignment="bottom")
with columns[0]:
    source = landscaping.source(work)
with columns[1]:
    time = pickers.time(work.snapshots, key=f"landscape-time-{source == MODEL}", all_times=source != MODEL)
with columns[2]:
    name = pickers.colour_by(work)
with columns[3]:
    view = pickers.one_of("View", [landscaping.SPACE, landscaping.FLAT], key="landscape-view")
picked = landscape_ways.ends(work)
ways = landscape_ways.transition(work, picked[0], time=time) if picked else None
names = picked[1] if picked else None

found = landscaping.heights(work, source=source, time=time)
ground = landscaping.surface(work, found) if found.can_be_drawn else None
if ground is None:
    theme.hint(landscaping.refused(found))
else:
    shown = landscaping.shown()
    landscaping.draw(work, ground, name=name, view=view, shown=shown, ways=ways, names=names)
    st.caption(landscaping.caption(work, ground))

st.subheader("Least-action paths", anchor=False)
if ways is None:
    theme.hint(
        "Choose two states above to see the paths between them that need the least push against the flow."
    )
else:
    landscape_ways.ways_table(work, ways, names)
    left, right = st.columns(2, gap="large")
    with left:
        landscape_ways.height_along(work, found, ways, names=names)
    with right:
        landscape_ways.genes_along(work, ways, names)
cell_map(
    key,
    xy=places,
    colour=maps.colour(work, name),
    layers=landscape_ways.ways_layers(ways, names),
    selection="lasso",
    hover=maps.hover(work, besides=name),
    axes=maps.axes(work),
    height=maps.HEIGHT,
    faint=ways is not None,
    filename="least-action",
    alt=f"Map of the cells coloured by {name}, with least-action paths of the model {work.entry.name}",
)
landscape_ways.keep_chosen(work, selected(key, places))
