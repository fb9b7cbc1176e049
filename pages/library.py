"""Library: the models that were trained or added, and what can be done with them."""

import streamlit as st

from ui import shelf, state, theme

st.title("Library", anchor=False)
work = state.current()
entries = state.store().models()
shelf.undo()
if work.dataset and entries:
    only = st.toggle("Only models of the open data set", key="only-open", bind="query-params")
    entries = [entry for entry in entries if not only or entry.dataset == work.dataset.id]
for entry in entries:
    shelf.card(work, entry)
if not entries:
    theme.empty(
        "No models yet",
        "A trained model is saved here by itself. You can also add one from a file below.",
        "train" if work.dataset else "start",
        "Train a model" if work.dataset else "Open data",
    )
shelf.upload()
