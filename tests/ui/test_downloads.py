"""Files made on the press of a button stay until they are fetched, however busy the server is."""

from pathlib import Path

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from ui import downloads


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
