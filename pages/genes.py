"""Genes: how they change on the way to each fate, which go with it, and where on the map."""

import streamlit as st

from ui import driving, expressing, fating, fating_states, gene_maps, phasing, scoring, state

work = state.require("snapshots", "model")
known = expressing.expression(work)
if known is None:
    expressing.none()
    st.stop()
states = fating_states.current(work)
left, right = st.columns([4, 2], vertical_alignment="bottom")
with left:
    view = expressing.view(phase=phasing.possible(work))
with right:
    growth = fating.with_or_without(work, fating.growth_source(work)) if len(states) > 1 else "none"
found = fating.fates(work, states, growth=growth) if len(states) > 1 else None
if found is None:
    expressing.only_time()

if view == expressing.TRENDS:
    expressing.over_time(work, known, found)
elif view == expressing.HEAT:
    expressing.heat_map(work, known, found)
elif view == expressing.DRIVERS:
    driving.draw(work, known, found)
elif view == expressing.MAP:
    gene_maps.on_map(work, known, found)
elif view == expressing.SETS:
    scoring.draw(work, known, found)
else:
    phasing.draw(work, known, found)
