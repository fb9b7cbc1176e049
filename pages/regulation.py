"""Regulation: which genes may act on which, and where cells gather and part."""

import streamlit as st

from ui import regulating, state, theme

work = state.require("snapshots", "embedding", "model")
st.title("Regulation", anchor=False)
theme.lead("Which genes may act on which? The learned motion suggests candidates; correlation stands beside.")

known = regulating.kept(work)
if work.model.basis is None:
    theme.hint("Regulation needs genes, and this model was trained without. Stability is still shown.")
regulating.ask(work, known)
if known is not None:
    if known.networks:
        which = regulating.region(known)
        regulating.networks(work, known, which)
        regulating.tables(known, which)
        regulating.edge_table(work, known, which)
    regulating.stability(work, known)
