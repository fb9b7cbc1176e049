"""What if: genes knocked out, over-expressed or shifted, or other cells to start from."""

import streamlit as st

from ui import perturbing, perturbing_views, state, theme

work = state.require("snapshots", "model")
st.title("What if", anchor=False)
theme.lead("What would the model's cells become if genes were changed? Candidates, to be tested.")

wish = perturbing.asked_for(work)
by_gene = wish == perturbing.GENES
rows, words = perturbing.cells(work, label="In which cells", key="perturb")
asked = perturbing.changes(work) if by_gene else None
st.caption(perturbing.draw_map(work, rows, asked))
if not len(rows):
    theme.hint("No cell is chosen. Choose cells by type and time, or draw around some on the map.")
elif by_gene and asked is None:
    theme.hint("Choose a gene to change.")
elif by_gene:
    perturbing_views.result(work, perturbing.answer(work, rows, asked), cells=words)
    perturbing_views.dose(work, rows, asked)
else:
    others, _ = perturbing.cells(work, label="Instead from", key="instead")
    if len(others):
        perturbing_views.result(work, perturbing.other(work, rows, others), cells=words)
if work.model.basis is not None:
    perturbing_views.screening(work, rows, words=words)
