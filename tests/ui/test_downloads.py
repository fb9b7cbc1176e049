"""Downloads are what they say, for whom they were made; small uploads take a bounded part of the memory."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.requests import HTTPConnection
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from ui import door, downloads, identity, keys


@pytest.mark.parametrize("held", [True, False])
def test_a_file_made_on_a_press_stays_while_pages_of_others_run(held):
    manager = MediaFileManager(MemoryMediaFileStorage("/media"))
    button = manager.add_deferred(lambda: b"1,2", "text/csv", "1.0")
    session = manager._deferred_callables[button]["session_id"]
    address = manager.execute_deferred(button)
    if held:
        assert downloads.hold(manager, address, session) == address
    for _ in range(3):
        manager.clear_session_refs("another session")
        manager.remove_orphaned_files()
    name = Path(address).name
    assert (manager.read_file(name) is not None) == held
    manager.clear_session_refs(session)
    for _ in range(2):
        manager.remove_orphaned_files()
    assert manager.read_file(name) is None


SIZE = 2_000_000


def test_large_files_that_differ_anywhere_have_names_of_their_own(monkeypatch):
    own = downloads.memory_media_file_storage._calculate_file_id
    monkeypatch.setattr(
        downloads.memory_media_file_storage, "_calculate_file_id", own
    )  # put back after the test
    manager = MediaFileManager(MemoryMediaFileStorage("/media"))
    monkeypatch.setattr(downloads.runtime, "get_instance", lambda: SimpleNamespace(media_file_mgr=manager))
    monkeypatch.setattr(downloads.identity, "browser", lambda: "mine")
    downloads.watch()
    one = bytes(SIZE)
    other = bytearray(one)
    other[SIZE // 4] = 1  # where Streamlit does not look
    found = {}
    for place, content in enumerate((one, bytes(other))):
        found[manager.add(content, "text/csv", f"1.{place}", file_name="cells.csv")] = content
    assert len(found) == 2
    for address, content in found.items():
        assert manager.read_file(Path(address).name).content == content
        assert downloads.may(address, "mine")
        assert not downloads.may(address, "another")


@pytest.mark.parametrize(
    "about", [("text/csv", "b"), ("text/plain", "a"), ("text/csva", ""), ("text/csv", None)]
)
def test_the_name_of_a_download_says_kind_and_file_too(about):
    assert downloads.name_of(b"1", *about) != downloads.name_of(b"1", "text/csv", "a")
    assert downloads.name_of(b"1", *about) == downloads.name_of(b"1", *about)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """Return a shared server's keys; its runtime holds no files."""
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path))
    monkeypatch.setenv(keys.SHARED, "1")
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.setattr(identity, "_seats", {})
    manager = MemoryUploadedFileManager("/_stcore/upload_file")
    of_all = SimpleNamespace(uploaded_file_mgr=manager)
    monkeypatch.setattr(downloads.runtime, "get_instance", lambda: of_all)
    monkeypatch.setattr(downloads, "_browser_of", identity._seats.get)
    return keys.current()


def put(known, key, session, *, method="PUT"):
    """Return what the door answers to a small upload; None where the app gets it."""
    headers = [(b"cookie", f"{known.cookie}={key}".encode()), (b"host", b"localhost")]
    scope = {"type": "http", "path": f"/_stcore/upload_file/{session}/f", "headers": headers}
    connection = HTTPConnection({**scope, "method": method})
    answer = door.refused(connection)
    return connection, answer and answer.status_code


def hold(session, n_bytes, name="f"):
    file = UploadedFileRec(name, "m.safetensors", "application/octet-stream", bytes(n_bytes))
    downloads.runtime.get_instance().uploaded_file_mgr.add_file(session, file)


def test_a_browser_fills_the_memory_with_no_more_than_its_room(shared, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_HELD", 100)
    mine, other = shared.issue(), shared.issue()
    for session, key in (("a", mine), ("b", mine), ("c", other)):
        identity._seats[session] = shared.browser(key)
    hold("a", 60)
    assert put(shared, mine, "a")[1] is None
    hold("b", 60)
    assert [put(shared, mine, session)[1] for session in "ab"] == [429, 429]
    assert put(shared, mine, "a", method="DELETE")[1] is None
    assert put(shared, other, "c")[1] is None
    assert put(shared, other, "a")[1] == 404
    downloads.runtime.get_instance().uploaded_file_mgr.remove_session_files("b")
    assert put(shared, mine, "a")[1] is None
    monkeypatch.setattr(downloads, "MOST_HELD_BY_ALL", 50)
    assert put(shared, other, "c")[1] == 429


def test_a_browser_sends_few_small_files_at_a_time(shared):
    mine, other = shared.issue(), shared.issue()
    identity._seats.update(a=shared.browser(mine), c=shared.browser(other))
    with ExitStack() as sent:
        for _ in range(downloads.MOST_SENT):
            connection, answer = put(shared, mine, "a")
            assert answer is None
            sent.enter_context(downloads.sending(connection))
        assert put(shared, mine, "a")[1] == 429
        assert put(shared, other, "c")[1] is None
    assert put(shared, mine, "a")[1] is None
    assert not downloads._sent
