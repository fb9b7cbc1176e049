"""Data: open a file, see what it is, say what its columns mean, and prepare it."""

import streamlit as st

from ui import opening, overview, preparing, preview, roles, state

with st.container(key="news"):
    overview.undo()
    opening.follow()
work = state.current()

if work.dataset is None:
    st.title("Data", anchor=False)
    own, demos = st.columns(2, gap="large")
    with own:
        st.subheader("Open your data", anchor=False)
        opening.own_data()
    with demos:
        st.subheader("Or take a demo", anchor=False)
        opening.demos()
    overview.every()
    st.stop()

overview.name_and_actions(work)
with st.container(border=True, key="found"):
    overview.found(work)
overview.findings(work.report.get("findings", []))

left, right = st.columns([5, 7], gap="large")
with left:
    st.subheader("What the columns mean", anchor=False)
    roles.editor(work)
    st.subheader("Times", anchor=False)
    roles.times_table(work)
with right:
    if work.roles.embedding:
        st.subheader("Map", anchor=False)
        preview.draw(work)
    st.subheader("Prepare", anchor=False)
    preparing.section(work)
overview.next_step(work)
