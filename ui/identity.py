"""Whose page this is: the person behind this tab, known by sign-in or by the key of their browser."""

import os
from urllib.parse import urlsplit

import streamlit as st

from dynamics.errors import DynamicsError
from ui import keys

PERSON = "person"  # one key of the session: (browser, owner)
MEMBERS = "DRIFTSCOPE_MEMBERS"


class AccessError(DynamicsError):
    """Somebody who may not come in, or who cannot be told from others."""


def owner() -> str:
    """Return whose workspace this tab works in; "" where one person has the server to themself.

    Raises
    ------
    AccessError
        It cannot be told; the message says what to do.
    """
    return _person()[1] if keys.shared() else ""


def browser() -> str:
    """Return the browser that this tab runs in, as `keys.asker` names it in requests for files."""
    if not keys.shared():
        return ""
    return _browser() or st.session_state.get(PERSON, ("", ""))[0]


def enter() -> None:
    """Let in who may come in; called by the router first. Who has to sign in is asked to, and no more."""
    if keys.shared() and _signed_in() is False:
        _ask_to_sign_in()
        st.stop()
    owner()


def signed_in_as() -> str:
    """Return the name of who has signed in; empty where people are known by the key of their browser."""
    return str(st.user.get("email") or st.user.get("name") or "you") if _signed_in() else ""


def link_for_another_device() -> str:
    """Return an address that brings this workspace to another browser: once, and for ten minutes."""
    known, here = keys.current(), urlsplit(st.context.url or "")
    code = keys.CODES.issue(st.context.cookies.get(known.cookie, ""))
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{here.scheme}://{here.netloc}/{base + '/' if base else ''}enter?code={code}"


def _person() -> tuple[str, str]:
    bound, asks = st.session_state.get(PERSON), _browser()
    if asks is None:
        if bound is None:
            raise AccessError(
                "This server knows you again by a cookie, and your browser did not send it. Allow cookies "
                "for this site, then reload the page."
            )
        return bound  # the connection is gone while the page still runs
    if bound is not None and bound[0] != asks:
        st.session_state.clear()  # the tab goes on in other hands: with nothing of what it had open
        bound = None
    if bound is None:
        bound = st.session_state[PERSON] = (asks, _owner(asks))
    return bound


def _browser() -> str | None:
    known = keys.current()
    return known.browser(st.context.cookies.get(known.cookie))


def _owner(asks: str) -> str:
    if not _signed_in():
        if _signed_in() is False:
            raise AccessError("Sign in first: reload the page.")
        return asks
    _check_member()
    about = [str(st.user.get(name) or "") for name in ("iss", "sub")]
    if not all(about):
        raise AccessError(
            "The sign-in service did not say who you are (no issuer or no subject). Tell whoever runs this "
            "server."
        )
    return keys.current().person("\n".join(about))


def _signed_in() -> bool | None:
    """Tell whether somebody has signed in; None where the server has no sign-in."""
    return st.user.get("is_logged_in")


def _check_member() -> None:
    """Make sure that who signed in belongs to those the administrator has named, where that was done."""
    allowed = {name.strip().lower() for name in os.environ.get(MEMBERS, "").split(",") if name.strip()}
    address = str(st.user.get("email") or "").lower()
    verified = st.user.get("email_verified", True) not in (False, "false")
    if allowed and not (verified and allowed & {address, "@" + address.rpartition("@")[2]}):
        raise AccessError(
            "You have signed in, but you are not among the people who may use this server. Ask whoever runs "
            "it."
        )


def _ask_to_sign_in() -> None:
    st.title("Driftscope", anchor=False)
    st.write("Sign in to come to your data sets and models. Nobody else sees them.")
    st.button("Sign in", type="primary", on_click=st.login, key="sign-in")
