"""Whose page this is: the person behind this tab, known by sign-in or by the key of their browser."""

import os
from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from dynamics.errors import DynamicsError
from ui import keys, sign_in

PERSON = "person"  # one key of the session: (seat, owner)
MEMBERS = "DRIFTSCOPE_MEMBERS"
TRUSTED = "DRIFTSCOPE_TRUST_EMAIL"
MOST_SESSIONS = 20_000
_seats: dict[str, str] = {}  # session → the seat that it belongs to


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
    """Return the seat that this tab is open at, as `keys.asker` names it in requests for files."""
    if not keys.shared():
        return ""
    return _seat() or st.session_state.get(PERSON, ("",))[0]


def may_go_on(session: str, asks: str | None) -> bool:
    """Tell whether a connection from this seat may go on with a session that was open before."""
    return asks is not None and _seats.get(session) == asks


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
    bound, asks = st.session_state.get(PERSON), _seat()
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
    if _signed_in():
        _check_still_here(asks)
    if bound is None:
        bound = st.session_state[PERSON] = (asks, _owner(asks))
        _note_session(asks)
    return bound


def _check_still_here(asks: str) -> None:
    _check_member()
    if sign_in.LEFT.has(asks, st.context.cookies):
        st.session_state.clear()
        raise AccessError("You have signed out. Reload the page to sign in again.")


def _note_session(asks: str) -> None:
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        _seats[context.session_id] = asks
        while len(_seats) > MOST_SESSIONS:
            del _seats[next(iter(_seats))]


def _seat() -> str | None:
    known = keys.current()
    found = known.browser(st.context.cookies.get(known.cookie))
    return found and known.seat(found, sign_in.name_of(st.user) if _signed_in() else "")


def _owner(asks: str) -> str:
    if not _signed_in():
        if _signed_in() is False:
            raise AccessError("Sign in first: reload the page.")
        return asks
    _check_member()
    person = sign_in.name_of(st.user)
    if not person:
        raise AccessError(
            "The sign-in service did not say who you are (no issuer or no subject). Tell whoever runs this "
            "server."
        )
    return keys.current().person(person)


def _signed_in() -> bool | None:
    """Tell whether somebody has signed in; None where the server has no sign-in."""
    return st.user.get("is_logged_in") if sign_in.offered() else None


def _check_member() -> None:
    """Make sure that who signed in belongs to those the administrator has named, where that was done."""
    allowed = {name.strip().lower() for name in os.environ.get(MEMBERS, "").split(",") if name.strip()}
    if not allowed:
        return
    given = str(st.user.get("email") or "")
    address = given.lower() if given.isascii() else ""  # some letters of other alphabets turn into ours
    verified = st.user.get("email_verified") in (True, "true") or os.environ.get(TRUSTED) == "1"
    if not verified:
        raise AccessError(
            "You have signed in, but the sign-in service does not say that it verified your e-mail address, "
            "by which this server knows its members. Ask whoever runs it."
        )
    if not address or not allowed & {address, "@" + address.rpartition("@")[2]}:
        raise AccessError(
            "You have signed in, but you are not among the people who may use this server. Ask whoever runs "
            "it."
        )


def _ask_to_sign_in() -> None:
    st.title("Driftscope", anchor=False)
    st.write("Sign in to come to your data sets and models. Nobody else sees them.")
    st.button("Sign in", type="primary", on_click=st.login, key="sign-in")
