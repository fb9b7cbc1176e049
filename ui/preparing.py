"""Preparing a data set: what will be done and why, quality control with its histograms, and the job."""

import streamlit as st

from ui import state


def section(work: state.Workspace) -> None:
    """Draw the section."""
    st.caption("soon")
