"""The app in a home of its own, and headless Chromium to use it with."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright

from jobs import client
from tests.serving import QUIET, SOFTWARE_GL, Server, chromium, serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running app with its job service, shared by the browser tests."""
    running = serve(tmp_path_factory.mktemp("home"))
    yield running
    running.stop()
    client.stop_service(running.folder)


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Headless Chromium with WebGL in software."""
    running = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, *SOFTWARE_GL])
    yield running
    running.close()
