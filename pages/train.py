"""Train: learn how cells move from one time to the next."""

import streamlit as st

from ui import state, theme, training

work = state.require("snapshots")
st.title("Train", anchor=False)
theme.lead("Learn the velocity that carries the cells of each time to those of the next. It takes seconds.")

left, right = st.columns([3, 2], gap="large")
with left:
    config = training.choose(work)
with right:
    with st.container(border=True):
        training.summary(work, config)
    training.start(work, config)
    training.follow(work)
