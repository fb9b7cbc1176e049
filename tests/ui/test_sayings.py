"""The socket of a page: what the app's pages say is heard, and nothing else that Streamlit would answer."""

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.serving import awaited
from ui import door, sayings


def message(kind, value=None, **parts):
    made = BackMsg()
    if value is not None:
        setattr(made, kind, value)
    else:
        getattr(made, kind).SetInParent()
    for name in parts.get("within", ()):
        getattr(getattr(made, kind), name).SetInParent()
    if "names" in parts:
        made.file_urls_request.file_names.extend(parts["names"])
    return made.SerializeToString()


HEARD = {
    "a run": message("rerun_script"),
    "a stop": message("stop_script", True),
    "a sign of life": message("app_heartbeat", True),
    "the address of one file": message("file_urls_request", names=["model.safetensors"]),
    "a download": message("backend_operation_request", within=["deferred_file"]),
    "rows of a table": message("backend_operation_request", within=["dataframe_chunk"]),
    "no message": b"\xff\xff",  # Streamlit ends the connection
}
NOT_HEARD = {
    "files of the program": message("load_git_info", True),
    "very many addresses": message("file_urls_request", names=["a"] * 400_000),
    "caches": message("clear_cache", True),
    "settings": message("set_run_on_save", True),
    "an end": message("debug_shutdown_runtime", True),
    "writing into the program's folder": message("backend_operation_request", within=["install_skills"]),
    "a setting of the account": message("backend_operation_request", within=["dismiss_skills_nudge"]),
    "nothing": b"",
}


def come_through(*told):
    """Return what the app hears of messages that a browser sends."""
    coming = [{"type": "websocket.receive", "bytes": one} for one in told]
    coming = [{"type": "websocket.connect"}, *coming, {"type": "websocket.disconnect"}]
    heard = []

    async def app(scope, receive, send):
        while (found := await receive())["type"] != "websocket.disconnect":
            heard.append(found.get("bytes"))

    async def receive():
        return coming.pop(0)

    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": [(b"host", b"localhost")]}
    awaited(door.Door(app)(scope, receive, None))
    assert not coming
    return heard[1:]


@pytest.mark.parametrize("case", HEARD)
def test_what_a_page_says_is_heard(case):
    assert come_through(HEARD[case]) == [HEARD[case]]


@pytest.mark.parametrize("case", NOT_HEARD)
def test_what_no_page_says_is_passed_over(case):
    assert come_through(NOT_HEARD[case], HEARD["a run"]) == [HEARD["a run"]]


def test_every_kind_of_message_that_streamlit_knows_is_decided_on():
    known = {field.name for field in BackMsg.DESCRIPTOR.fields}
    assert set(sayings.SAID) <= known
    refused = {"load_git_info", "clear_cache", "set_run_on_save"}
    assert known - set(sayings.SAID) == refused | {"debug_disconnect_websocket", "debug_shutdown_runtime"}
