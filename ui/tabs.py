"""How many pages are open, at each browser and in all: each holds memory of the server as long as it is."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import PlainTextResponse, Response

from jobs import quotas

_open: Counter[str | None] = Counter()  # by seat; None: strangers, all of them together


def refusal(seat: str | None) -> Response | None:
    """Return the answer to who may open no further page; None where they may."""
    limits = quotas.from_environment()
    if _open[seat] >= limits.tabs:
        said = (
            f"{_open[seat]} pages of Driftscope are open at this browser, and this server allows "
            f"{limits.tabs}. Close some, then reload this page."
        )
        return PlainTextResponse(said, status_code=429)
    if (n := _open.total()) >= limits.all_tabs:
        said = f"{n} pages are open at this server, as many as it allows. Try again in a few minutes."
        return PlainTextResponse(said, status_code=503, headers={"Retry-After": "120"})
    return None


@contextmanager
def one_more(seat: str | None) -> Iterator[None]:
    """Count a page while it is open."""
    _open[seat] += 1
    try:
        yield
    finally:
        _open[seat] -= 1
        if not _open[seat]:
            del _open[seat]
