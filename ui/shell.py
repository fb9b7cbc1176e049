"""The line below the navigation that says what this tab has open."""

import streamlit as st

from ui import jobs_panel, state, theme, trust
from ui.text import count, plural

WORDS = ("day", "week", "month", "year", "hour", "minute")


def status(work: state.Workspace, page: st.Page) -> None:
    """Draw what is open: data set, its size, times and model; nothing on the start page."""
    if page.url_path == "" or work.dataset is None:
        return
    report = work.report
    genes = report.get("n_genes", 0)
    size = f"{count(report.get('n_cells', 0), 'cell')} × {count(genes, 'gene') if genes else 'no genes'}"
    parts = [("Data", work.dataset.name), ("", size), ("", times_text(work))]
    if work.entry:
        parts += [("Model", work.entry.name), ("On held-out times", trust.word(work.entry))]
    running = jobs_panel.active()
    if running:
        parts.append(("Running", running[0].title if len(running) == 1 else f"{len(running)} jobs"))
    theme.status([(what, name) for what, name in parts if name])


def times_text(work: state.Workspace) -> str:
    """Return the times in short: "5 times, 0 to 12 h"; empty where there are none."""
    roles = work.report.get("roles", {})
    times = roles.get("times") or []
    if not times:
        return "no times"
    if len(times) == 1:
        return f"one time ({times[0]['label']})"
    unit = roles.get("time_unit") or ""
    unit = f" {plural(unit) if unit in WORDS else unit}".rstrip()
    return f"{len(times)} times, {times[0]['value']:g} to {times[-1]['value']:g}{unit}"
