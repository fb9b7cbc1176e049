"""What stands above every page: one's share of a shared server, what ends soon, and missing protections."""

import time
from urllib.parse import urlsplit

import streamlit as st

from jobs import expiry, landlock, quotas
from ui import identity, keys, share, state
from ui.text import escape, plural, size

UNPROTECTED = (
    "This system has no Landlock (Linux 5.13 or later has): uploads are checked and read in a process of "
    "their own, but the kernel does not keep that process from other files. Open only files you trust."
)
IN_THE_CLEAR = (
    "This page came without encryption (http): whoever listens on the network on the way can take your "
    "workspace over. Ask whoever runs this server for its https address."
)
IN_COMMON = (
    "Everybody who reaches this server works in this one workspace, and sees and deletes what is here. "
    "Whoever runs it can give each person their own (`./run --shared`)."
)
SHOWN = 3


def head(work: state.Workspace) -> None:
    """Draw what a person should know before anything else; nothing on a protected server of one's own."""
    for text in missing(st.context.url or ""):
        st.warning(text, icon=":material/shield:")
    if not keys.shared():
        return
    for thing in (work.dataset, work.entry):
        if thing is not None:
            expiry.touch(thing)
    _ending()
    with st.container(horizontal=True, horizontal_alignment="right"), st.popover("Your workspace", key="own"):
        _share()


def missing(address: str) -> list[str]:
    """Return what a person should know of protections that are not there, at the address of their page."""
    here = urlsplit(address)
    found = [] if landlock.version() else [UNPROTECTED]
    if here.hostname is None or here.hostname in keys.LOOPBACK:
        return found
    if not keys.shared():
        return [*found, IN_COMMON]
    return [*found, IN_THE_CLEAR] if here.scheme == "http" else found


def _ending() -> None:
    """Say what goes to the trash soon, once in a tab."""
    if state.recall("told-ending"):
        return
    state.remember("told-ending", True)
    found = expiry.ending(state.store())
    if found:
        names = ", ".join(escape(name) for name, _ in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if found[SHOWN:] else ""
        days = max(0, round(found[0][1]))
        when = "today" if days == 0 else f"in {days} {'day' if days == 1 else plural('day')}"
        st.info(f"Goes to the trash {when} unless you open it: {names}{more}.", icon=":material/schedule:")


def _share() -> None:
    """Draw how much is used, and the ways to other devices and out."""
    place, limits = state.store().home, quotas.from_environment()
    taken = share.taken(place)
    st.progress(min(1.0, taken / max(1, limits.disk)), f"{size(taken)} of {size(limits.disk)} used")
    st.caption(
        f"{limits.running} running and {limits.queued} waiting jobs at a time. What you do not open for "
        f"{limits.keep_s / quotas.DAY_S:g} days goes to the trash, {limits.trash_s / quotas.DAY_S:g} days "
        "later it is gone. Nobody else sees your data sets, models and jobs."
    )
    if any((place / "trash").iterdir()) and st.button("Empty the trash", key="empty-trash"):
        expiry.empty_trash(place, before=time.time() + 1)
        share.forget(place)
        state.remember("deleted", None)
        st.rerun()
    if name := identity.signed_in_as():
        st.caption(f"Signed in as {escape(name)}")
        st.button("Sign out", on_click=st.logout, key="sign-out")
        return
    st.caption("This browser is your key: deleting its cookies closes the way to your work.")
    if st.button("Go on at another device", key="other-device"):
        st.code(identity.link_for_another_device(), language=None, wrap_lines=True)
        st.caption("Open this address there within ten minutes. It works once; keep it to yourself.")
