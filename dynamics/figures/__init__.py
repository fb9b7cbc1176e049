"""Plotly figures of what `dynamics` computes."""
