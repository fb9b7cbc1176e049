"""Trajectories: the predicted future or past of chosen cells."""

import streamlit as st

from dynamics.figures import trends
from ui import cache, flowing, following, maps, pickers, saving, state, trust
from ui.cellmap import cell_map, selected

work = state.require("snapshots", "embedding", "model")
key = state.key("path-map", per="dataset")
places = maps.places(work)
columns = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
with columns[3]:
    name = pickers.colour_by(work, computed=flowing.computed(work))
begin = following.start(work, selected(key, places), columns=columns[:3])
paths = following.follow(work, begin) if begin else None

cell_map(
    key,
    xy=places,
    colour=flowing.colour(work, name),
    layers=following.layers(work, paths),
    selection="lasso",
    hover=maps.hover(work, besides=name),
    axes=maps.axes(work),
    height=maps.HEIGHT,
    faint=paths is not None,
    filename="trajectories",
    alt=f"Map of the cells coloured by {name}, with paths predicted by the model {work.entry.name}",
)
if paths is None:
    st.stop()
st.caption(f"{following.caption(work, begin, paths)} {flowing.colour_said(work, name)}")

left, right = st.columns(2, gap="large")
with left:
    st.subheader("What they become" if begin.forward else "What they were", anchor=False)
    if work.roles.cell_type_key:
        shares = following.types_over_time(work, paths)
        colours = following.type_colours(work)
        saving.figure(
            cache.cached(
                trends.composition, shares, colours=colours, unit=paths.unit, measured=paths.measured
            ),
            name="types-over-time",
            alt="Shares of cell types along the trajectories",
        )
        st.caption(following.types_caption(shares, paths))
        between = following.types_between_members(work, paths)
        if between is not None:
            st.table(between)
            st.caption(trust.bands_note(work.entry))
    else:
        st.caption("No column holds cell types; choose one on the Data page to see them over time.")
with right:
    st.subheader("Genes along the way", anchor=False)
    if work.model.basis is None:
        st.caption("This model was trained without genes, so its states cannot be mapped back to them.")
    else:
        genes = pickers.genes(work, default=following.telling_genes(work, paths))
        if genes:
            along = following.genes_over_time(work, paths, genes)
            saving.figure(
                cache.cached(trends.gene_trends, along, unit=paths.unit, measured=paths.measured),
                name="genes-along-trajectories",
                alt="Genes along the trajectories",
            )
            st.caption(following.genes_caption(along))
following.advanced(work)
