"""How the app looks beyond `.streamlit/config.toml`: the head of every page, empty states, small pieces."""

import html
from collections.abc import Mapping, Sequence

import streamlit as st

from dynamics.printable import printable
from ui import nav

NAME = "Driftscope"
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="138" height="28" viewBox="0 0 138 28">
<g fill="none" stroke="#1f7a8c" stroke-width="2.4" stroke-linecap="round">
<path d="M3 20c5 0 6-6 11-6s5 5 10 3"/><path d="M3 13c5 0 6-6 11-6s6 4 10 2"/></g>
<circle cx="24" cy="17" r="2.6" fill="#e08e45"/><circle cx="24" cy="9" r="2.6" fill="#1f7a8c"/>
<text x="34" y="20" font-family="'Source Sans 3','Source Sans Pro','Segoe UI',sans-serif" font-size="18"
 font-weight="600" fill="#1f7a8c">Driftscope</text></svg>
"""
FAVICON = """<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28" viewBox="0 0 28 28">
<g fill="none" stroke="#1f7a8c" stroke-width="3" stroke-linecap="round">
<path d="M3 20c5 0 6-6 11-6s5 5 10 3"/><path d="M3 12c5 0 6-6 11-6s6 4 10 2"/></g>
<circle cx="24" cy="17" r="3" fill="#e08e45"/></svg>
"""
STYLE = """
<style>
.st-key-page-head .app-status {display: flex; flex-wrap: wrap; gap: .15rem 1.25rem; font-size: .875rem;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); padding: 0 0 .6rem 0}
.app-status span b {font-weight: 600; overflow-wrap: anywhere}
.app-status .app-quiet {opacity: .65}
.app-empty {text-align: center; padding: 3.5rem 1rem 1rem 1rem}
.app-empty h3 {font-size: 1.25rem; font-weight: 600; padding: 0 0 .5rem 0; margin: 0}
.app-empty p {max-width: 34rem; margin: 0 auto; opacity: .8}
.app-facts {display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); margin: 0;
  gap: .9rem 1.5rem}
.app-facts i {display: block; font-style: normal; font-size: .8125rem; opacity: .7; font-weight: 400}
.app-facts b {display: block; font-size: 1.0625rem; font-weight: 600; line-height: 1.35;
  overflow-wrap: anywhere}
.app-facts small {display: block; overflow-wrap: anywhere; font-size: .8125rem; font-weight: 400;
  opacity: .75}
.app-lead {font-size: 1.1875rem; line-height: 1.5; max-width: 46rem; margin: 0}
.app-steps div {padding: .3rem 0; display: flex; gap: .75rem; align-items: baseline}
.app-steps .app-tag {flex: 0 0 4.75rem; font-size: .8125rem; font-weight: 600; opacity: .75}
.app-steps b {font-weight: 600; margin-right: .35rem}
.app-steps .app-skip {opacity: .65}
.app-steps .app-do .app-tag {color: light-dark(#1f6f82, #7cc5d5); opacity: 1}
.app-finding {border-left: 3px solid color-mix(in srgb, currentColor 18%, transparent);
  padding: .1rem 0 .1rem .8rem; line-height: 1.45; overflow-wrap: anywhere}
.app-finding b {display: block; font-size: .8125rem; font-weight: 600}
.app-finding .app-fix {display: block; opacity: .75}
.app-error {border-color: #c2453a} .app-error b {color: light-dark(#b3382d, #f0948b)}
.app-warning {border-color: #d99a2b} .app-warning b {color: light-dark(#8f5d00, #e5b35c)}
.app-good {border-color: #2f8f5b} .app-good b {color: light-dark(#1f6f46, #7fd0a4)}
.app-note b {opacity: .75}
.app-hint {opacity: .8; margin: 0}
[data-testid=stElementToolbar] button[aria-label^="Download"] {display: none} /* the pages' own CSV is safe */
</style>
"""


def _text(name: object) -> str:
    """Return a name from a file, or words of ours, as text in HTML."""
    return html.escape(printable(name))


def head() -> None:
    """Draw what every page starts with: the logo and the style sheet."""
    st.logo(LOGO, size="large")
    st.html(STYLE)


def status(parts: Sequence[tuple[str, str]]) -> None:
    """Draw the line that says what is open: (what, its name) pairs, from files or not."""
    if not parts:
        return
    spans = "".join(
        f"<span><span class='app-quiet'>{_text(what)}</span> <b>{_text(name)}</b></span>"
        for what, name in parts
    )
    with st.container(key="page-head"):
        st.html(f"<div class='app-status' data-testid='app-status'>{spans}</div>")


def empty(title: str, text: str, page: str | None = None, action: str | None = None) -> None:
    """Draw an empty state: what is missing, why it is needed, and the page that has it."""
    st.html(f"<div class='app-empty'><h3>{_text(title)}</h3><p>{_text(text)}</p></div>")
    if page and action:
        with st.container(horizontal=True, horizontal_alignment="center"):
            nav.button(page, action, key=f"empty-{page}", primary=True)


def lead(text: str) -> None:
    """Draw the one sentence that opens a page."""
    st.html(f"<p class='app-lead'>{_text(text)}</p>")


def facts(known: Mapping[str, str | tuple[str, str]]) -> None:
    """Draw a card's figures: name → value, or (value, a word of explanation)."""
    rows = []
    for name, value in known.items():
        main, more = value if isinstance(value, tuple) else (value, "")
        small = f"<small>{_text(more)}</small>" if more else ""
        rows.append(f"<div><i>{_text(name)}</i><b>{_text(main)}</b>{small}</div>")
    st.html(f"<div class='app-facts'>{''.join(rows)}</div>")


def steps(rows: Sequence[tuple[str, ...]]) -> None:
    """Draw a list of (tag, sentence) or (tag, title, sentence) rows."""
    items = "".join(
        f"<div class='app-{_text(tag.lower())}'><span class='app-tag'>{_text(tag)}</span>"
        f"<span>{'<b>' + _text(title[0]) + '</b> ' if title else ''}{_text(text)}</span></div>"
        for tag, *title, text in rows
    )
    st.html(f"<div class='app-steps'>{items}</div>")


def finding(level: str, tag: str, message: str, fix: str) -> None:
    """Draw one finding: how serious it is, what was found, and what to do."""
    more = f"<span class='app-fix'>{_text(fix)}</span>" if fix else ""
    st.html(
        f"<div class='app-finding app-{_text(level)}'><b>{_text(tag)}</b>"
        f"<span>{_text(message)}</span>{more}</div>"
    )


def hint(text: str) -> None:
    """Draw a quiet sentence."""
    st.html(f"<p class='app-hint'>{_text(text)}</p>")
