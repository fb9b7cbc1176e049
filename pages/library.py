"""Library: the models that were trained or added, what can be done with them, and how they compare."""

import streamlit as st

from ui import comparing, shelf, state, theme

compared = comparing.asked()
st.title("Compare models" if len(compared) > 1 else "Library", anchor=False)
if len(compared) > 1:
    comparing.view(compared)
    st.stop()

work = state.current()
entries = state.store().models()
shelf.undo()
if work.dataset and entries:
    only = st.toggle("Only models of the open data set", key="only-open", bind="query-params")
    entries = [entry for entry in entries if not only or entry.dataset == work.dataset.id]
comparing.bar()
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
