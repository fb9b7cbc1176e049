"""Start: what this is, and the way in."""

import streamlit as st

from ui import nav, opening, overview, state, theme

work = state.current()
st.title("See where cells are heading", anchor=False)
theme.lead(
    "Driftscope learns how cells move from snapshots taken at different times, "
    "and draws where every cell came from and where it is going."
)
with st.container(key="news"):
    overview.undo()
    opening.follow()

if work.dataset:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        nav.button("data", "Continue", key="continue", primary=True)
        theme.hint(f"{work.dataset.name} is open in this tab.")

own, demos = st.columns(2, gap="large")
with own:
    st.subheader("Open your data", anchor=False)
    opening.own_data()
    theme.steps(opening.needed())
with demos:
    st.subheader("Or take a demo", anchor=False)
    opening.demos(primary=work.dataset is None)

opening.recent()
