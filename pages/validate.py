"""Validate: how far the open model can be believed."""

import streamlit as st

from ui import assuming, reporting, state, theme, validating

work = state.require("snapshots", "model")
st.title("Validate", anchor=False)
theme.lead("Are these arrows true? The model is learned again without a time, and judged on its real cells.")

known = reporting.told(work)
busy = validating.going_on(work.entry)
if known is None and not busy:
    reporting.start(work, known)
if known is not None:
    reporting.verdict(known)
    if known["rows"]:
        st.subheader("How much of the motion is predicted", anchor=False)
        reporting.times(known)
        reporting.methods(known)
        reporting.closer(known)
    st.subheader("Checks with a known answer", anchor=False)
    reporting.checks(known)
    st.subheader("Does the ensemble know what it does not know?", anchor=False)
    reporting.ensemble(known)
    st.subheader("What else the motion may be", anchor=False)
    reporting.alarms(known)
st.subheader("What the snapshots leave open", anchor=False)
assuming.panel(work)
if known is not None:
    st.subheader("The report itself", anchor=False)
    reporting.download(known)
    if not busy:
        reporting.start(work, known)
