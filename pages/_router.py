"""The frame around every page: settings, navigation, what is open, and the page itself."""

import streamlit as st

from ui import identity, nav, own, shell, state, theme

st.set_page_config(page_title=theme.NAME, page_icon=theme.FAVICON, layout="wide")
identity.enter()
page = st.navigation(
    nav.pages(
        [
            ("start", "Start", "Open a data set or a demo."),
            ("data", "Data", "What was found in the data set, what its columns mean, and preparing it."),
            ("train", "Train", "Learn how the cells move."),
            ("library", "Library", "Saved models."),
            ("validate", "Validate", "How far a model can be believed."),
            ("flow", "Flow", "Where cells are heading, drawn over the map."),
            ("trajectories", "Trajectories", "The predicted future or past of chosen cells."),
            ("fates", "Fates", "What each cell becomes, and how sure that is."),
            ("genes", "Genes", "How genes change on the way to each fate, and which go with it."),
            ("regulation", "Regulation", "Which genes may act on which: candidates."),
            ("perturb", "What if", "What cells would become if genes were changed."),
            ("landscape", "Landscape", "Heights that cells roll down, and the cheapest ways between states."),
        ]
    ),
    position="top",
)
theme.head()
work = state.restore()
shell.status(work, page)
own.head(work)
state.show_notices()
page.run()
