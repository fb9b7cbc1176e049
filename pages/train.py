"""Train: learn how cells move from one time to the next."""

import streamlit as st

from ui import alarms, choosing, state, theme, training

work = state.require("snapshots")
st.title("Train", anchor=False)
theme.lead("Learn how cells move from each time to the next. Start from what you want to know.")

left, right = st.columns([3, 2], gap="large")
with left:
    config = choosing.choose(work)
with right:
    with st.container(border=True):
        training.summary(work, config)
    alarms.before(work, config)
    training.start(work, config)
    training.follow(work)
