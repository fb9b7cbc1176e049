"""A drop zone that sends a file straight to the server's disk, with progress and a way to cancel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from ui import files, state
from ui.text import size

HERE = Path(__file__).parent
TOKEN = "upload-token"
LONGEST_NAME = 255

_component = st.components.v2.component(
    "driftscope.dropzone",
    html=(HERE / "dropzone.html").read_text("utf-8"),
    css=(HERE / "dropzone.css").read_text("utf-8"),
    js=(HERE / "dropzone.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Dropped:
    """A file that has arrived on the server; `name` is the client's own word for it."""

    name: str
    path: Path
    n_bytes: int


def show(*, key: str = "dropzone") -> Dropped | None:
    """Draw the drop zone; return the file in the one run after it has arrived, else None."""
    token = state.recall(TOKEN)
    if token is None or not files.REGISTER.knows(token):
        token = files.new_token()
        state.remember(TOKEN, token)
    limit = files.room_bytes()
    data = {"token": token, "limit": limit, "limitText": size(limit), "endings": list(files.ENDINGS)}
    answer = _component(key=key, data=data, on_sent_change=_nothing)
    sent = answer.get("sent")
    if not isinstance(sent, Mapping):
        return None
    upload = files.REGISTER.take(str(sent.get("upload")), token)
    name = str(sent.get("name") or "uploaded file")[:LONGEST_NAME]
    return Dropped(name, upload.path, upload.n_bytes)


def _nothing() -> None:
    """Stand in for a callback: without one, the component does not tell what it sends."""
