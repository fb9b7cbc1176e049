"""Fates: what each cell becomes, how likely, and how sure that is."""

import streamlit as st

from ui import fating, fating_states, fating_views, state, theme

work = state.require("snapshots", "model")
chosen = fating.chosen(work)
states = fating_states.current(work)
enough, source = len(states) > 1, fating.growth_source(work)
left, right = st.columns([2, 3], vertical_alignment="bottom")
with left:
    name = fating.colour_by(states.names, growth=source != "none") if enough else fating.TERMINAL
with right:
    growth = fating.with_or_without(work, source) if enough else "none"
found = fating.fates(work, states, growth=growth) if enough else None
grown = fating.fates(work, states, growth=source) if enough else None

fating.draw(work, name, found, states, other=grown)
if enough:
    st.caption(fating.caption(work, found, name=name))
    fating.full(work, states, growth=growth)
else:
    theme.hint(
        "Fates need at least two terminal states. Pick cells of the last time on the map, or split one."
    )

st.subheader("Terminal states", anchor=False)
fating_states.listed(work, states)
fating_states.editor(work, states, chosen)

if enough:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Between the fates", anchor=False)
        fating_views.circle(work, found)
    with right:
        st.subheader("From the first time on", anchor=False)
        fating_views.by_type(work, found, grown)
        fating.growth_said(work, grown)
st.subheader("From type to type", anchor=False)
fating_views.over_time(work, growth=growth)
if work.roles.embedding:
    st.subheader("Ancestors and descendants", anchor=False)
    fating_views.kin(work, chosen, growth=growth)
if enough:
    st.subheader("By starting type", anchor=False)
    fating_views.table(work, grown)
    if work.roles.clone_key:
        st.subheader("Against the clones", anchor=False)
        fating_views.clones(work, found, states)
