"""What every test may use."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Playwright, sync_playwright
from xdist.scheduler import LoadFileScheduling

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class ByFile(LoadFileScheduling):
    """Give each process whole files, and to one all that drives a browser: two browsers would starve."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "browser" if "browser" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """Share the tests out as `./test` wants them."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets for development; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the development data are not here ({SHARED_DATA})")
    return SHARED_DATA


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, started once: a second one beside it would not run."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Keep the main module: a script that AppTest ran would be run again by every process started later."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
