"""How many pages may be open on a shared server, at one browser and in all."""

import asyncio

import pytest

from tests.serving import awaited
from tests.ui.test_who_signs_in import connection
from ui import door, keys, tabs


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path))
    monkeypatch.setenv(keys.SHARED, "1")
    monkeypatch.setenv("DRIFTSCOPE_TABS", "2")
    monkeypatch.setenv("DRIFTSCOPE_ALL_TABS", "4")
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.setattr(tabs, "_open", type(tabs._open)())
    return keys.current()


class Visit:
    """Pages that are open until they are closed, and what the door said to each."""

    def __init__(self, known):
        self.known, self.closing, self.said, self.running = known, asyncio.Event(), [], []

    async def app(self, scope, receive, send):
        self.said.append("open")
        if scope["type"] == "websocket":
            await self.closing.wait()

    async def come(self, key, type="websocket"):
        scope = {**connection(self.known, key, type=type).scope, "extensions": {door.DENIAL: {}}}
        scope["headers"] = [*scope["headers"], (b"accept", b"text/html")]

        async def send(message):
            self.said.extend([message["status"]] if "status" in message else [])

        self.running.append(asyncio.ensure_future(door.Door(self.app)(scope, None, send)))
        await asyncio.sleep(0)
        return self.said[-1]

    async def close(self):
        self.closing.set()
        await asyncio.gather(*self.running)
        self.closing, self.running = asyncio.Event(), []


def test_pages_are_opened_up_to_a_number_at_each_browser_and_in_all(shared):
    ann, bob, eve = (shared.issue() for _ in range(3))

    async def go():
        visit = Visit(shared)
        assert [await visit.come(ann) for _ in range(3)] == ["open", "open", 429]
        assert await visit.come(ann, type="http") == 429
        assert [await visit.come(bob) for _ in range(3)] == ["open", "open", 429]
        assert await visit.come(eve) == 503
        assert await visit.come("", type="http") == "open"  # a new browser gets its key, and no more
        await visit.close()
        assert tabs._open == {}
        assert [await visit.come(ann, type=type) for type in ("websocket", "http")] == ["open", "open"]
        await visit.close()

    awaited(go())


def test_strangers_count_as_one_and_hold_up_nobody(shared):
    async def go():
        visit = Visit(shared)
        assert [await visit.come(key) for key in ("", "forged.key", "")] == ["open", "open", 429]
        assert await visit.come(shared.issue()) == "open"
        await visit.close()

    awaited(go())


def test_who_has_a_server_alone_is_not_counted(shared, monkeypatch):
    monkeypatch.delenv(keys.SHARED)

    async def go():
        visit = Visit(shared)
        assert [await visit.come("") for _ in range(9)] == 9 * ["open"]
        await visit.close()

    awaited(go())
