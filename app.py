"""The server: `streamlit run app.py`, or ./run.

The router stands in `pages/`, so that Streamlit's main script has no `pages/` folder beside it: with one, a
deep link on a fresh server would run the page alone, without router and settings.
"""

import asyncio
import importlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jobs import client, expiry, quotas, workspace
from ui import counters, door, downloads, errors, files, keys, logbook, memory, sign_in
from ui.cellmap import buffers

HEAVY = ("ui.roles", "ui.preparing", "ui.preview", "models.checkpoint", "ui.flowing", "ui.following")
PATIENCE_S = 15.0
SWEEP_S = 3600.0
LOG = logging.getLogger("driftscope")
# Read when torch is loaded, later. Threads that wait for each other on busy cores turn seconds into minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def warm() -> None:
    """Load what pages need beyond the first one, so that no click has to wait for it."""
    for name in HEAVY:
        importlib.import_module(name)


def wait_for_workers(jobs: client.Jobs) -> None:
    """Wait until jobs are taken; where that takes long, the app starts all the same, and jobs wait."""
    deadline = time.monotonic() + PATIENCE_S
    while not jobs.service().workers and time.monotonic() < deadline:
        time.sleep(0.05)


async def sweep_for_ever(home: Path) -> None:
    """Put away what nobody used for long, on a shared server; once an hour."""
    while keys.shared():
        await asyncio.to_thread(expiry.sweep, home)
        await asyncio.sleep(SWEEP_S)


def refuse(why: Exception) -> NoReturn:
    """End before the server takes anybody in, with one line that says why instead of a traceback."""
    sys.stderr.write(f"error: {why}\n")
    sys.stderr.flush()
    os._exit(2)


async def prepare() -> tuple[Path, client.Presence, client.Jobs]:
    """Make sure that the home can be worked in and has its job service.

    Raises
    ------
    DynamicsError
        It cannot; the message says why and what to do.
    """
    home = workspace.Workspace().home
    keys.take_passphrase()
    keys.check_sign_in(str(st.get_option("server.address")))
    counters.take_token()
    if keys.shared():
        quotas.from_environment()
        keys.current()  # makes the secret, or says what is wrong with it, before anybody comes in
        sign_in.LEFT.keep(home / sign_in.FILE)
    downloads.watch()
    files.ENDING.begin()
    files.sweep()
    presence = client.Presence(home, os.environ.get("DRIFTSCOPE_SCHEDULER") or None)
    return home, presence, await asyncio.to_thread(presence.__enter__)


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, object]]:
    """Find or start the job service, look after it while the server runs, leave it its jobs at the end."""
    os.umask(0o077)  # the list of jobs, the logs and the secret are for the server's account only
    logbook.begin()
    errors.begin()
    memory.tidy()
    try:
        home, presence, jobs = await prepare()
    except errors.TOLD as why:
        refuse(why)
    # Both take seconds, once, at the start, so that no click has to wait for them.
    await asyncio.gather(asyncio.to_thread(wait_for_workers, jobs), asyncio.to_thread(warm))
    memory.settle()
    LOG.info("Data sets, models and jobs are kept in %s", home)
    sweeping = asyncio.create_task(sweep_for_ever(home))
    yield {"home": home}
    sweeping.cancel()
    files.ENDING.end()
    await asyncio.to_thread(presence.__exit__, None, None, None)


def health(request: Request) -> JSONResponse:
    """Say that the server is there, and how its job service is; 503 where its disk or journal fails."""
    home = workspace.default_home().absolute()
    try:
        service = client.Jobs(home).service()
        quotas.check_disk(home)
    except errors.TOLD as why:
        LOG.error("The journal or the disk fails: %s", why)
        return JSONResponse({"ok": False, "jobs": None}, status_code=503)
    return JSONResponse({"ok": True, "jobs": {"alive": service.alive, "warm": service.warm}})


app = st.App(
    "pages/_router.py",
    lifespan=lifespan,
    on_script_error=errors.show,
    middleware=[Middleware(door.Door)],
    routes=[
        Route("/healthz", health),
        *door.routes(),
        *counters.routes(),
        *files.routes(),
        *buffers.routes(),
    ],
)
