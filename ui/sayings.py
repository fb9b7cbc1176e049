"""What a browser may say over the socket of a page: what this app's pages say, and nothing else.

Streamlit answers more than that to whoever is connected, on the one thread that serves everybody: it runs
git in the program's folder and tells the names of files there, or makes as many addresses as are asked for.
"""

from google.protobuf.message import DecodeError
from starlette.types import Message, Receive
from streamlit.proto.BackMsg_pb2 import BackMsg

SAID = ("rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request")
ASKED_FOR = ("deferred_file", "dataframe_chunk")
MOST_FILES = 20
"""Files whose addresses are asked for at once; the app's pages take one at a time."""


def allowed(data: bytes) -> bool:
    """Tell whether the app gets a message; what is none is left to Streamlit, which ends the connection."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return True
    kind = message.WhichOneof("type")
    if kind == "file_urls_request":
        return len(message.file_urls_request.file_names) <= MOST_FILES
    if kind == "backend_operation_request":
        return message.backend_operation_request.WhichOneof("payload") in ASKED_FOR
    return kind in SAID


def heard(receive: Receive) -> Receive:
    """Return a `receive` that passes over what no page says."""

    async def hear() -> Message:
        while True:
            message = await receive()
            data = message.get("bytes") if message["type"] == "websocket.receive" else None
            if data is None or allowed(data):
                return message

    return hear
