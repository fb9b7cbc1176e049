"""The pages of the app, and the ways between them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

FOLDER = Path(__file__).resolve().parents[1] / "pages"


def exists(page: str) -> bool:
    """Tell whether the page is part of this version of the app."""
    return (FOLDER / f"{page}.py").is_file()


def pages(wanted: Sequence[tuple[str, str, str]]) -> list[st.Page]:
    """Return the pages that exist, in the given order; the first is the start page.

    Parameters
    ----------
    wanted
        (script name, title, summary) of each page; the script name is also its address.
    """
    return [
        st.Page(
            str(FOLDER / f"{name}.py"),
            title=title,
            url_path=name,
            default=place == 0,
            help=summary,
        )
        for place, (name, title, summary) in enumerate(wanted)
        if exists(name)
    ]


def link(page: str, label: str, *, query: Mapping[str, str] | None = None, icon: str | None = None) -> None:
    """Draw a link to a page that keeps what is open; nothing where the page does not exist."""
    if exists(page):
        st.page_link(
            str(FOLDER / f"{page}.py"), label=label, query_params=dict(query or _open_query()), icon=icon
        )


def go(page: str, *, query: Mapping[str, str] | None = None) -> None:
    """Go to a page at once, keeping what is open; stay where the page does not exist."""
    if exists(page):
        st.switch_page(str(FOLDER / f"{page}.py"), query_params=dict(query or _open_query()))


def button(page: str, label: str, *, key: str, primary: bool = False, wide: bool = False) -> None:
    """Draw a button that goes to a page; nothing where the page does not exist."""
    kind, width = "primary" if primary else "secondary", "stretch" if wide else "content"
    if exists(page) and st.button(label, key=key, type=kind, width=width):
        go(page)


def _open_query() -> dict[str, str]:
    return {name: st.query_params[name] for name in ("dataset", "model") if name in st.query_params}
