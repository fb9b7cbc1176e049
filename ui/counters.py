"""What the server counts, as text for a monitoring system; no name of a person, a file or a gene is in it."""

import os
import shutil
import threading
from collections import Counter

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit import runtime

from jobs import client, people, workspace
from ui import door, keys

ROUTE = "/metrics"
TOKEN = "DRIFTSCOPE_METRICS_TOKEN"
MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WORDS = {
    "uploads": "Files sent to the server, by what became of them.",
    "upload_bytes": "Bytes of the files that arrived.",
    "errors": "Errors shown on pages: those a user can mend (told), and all others (unexpected).",
}
_counts: Counter[tuple[str, str]] = Counter()
_lock = threading.Lock()
_token: list[str] = []


def add(name: str, n: int = 1, **label: str) -> None:
    """Count something; at most one label, such as `outcome="accepted"`."""
    text = ",".join(f'{key}="{value}"' for key, value in label.items())
    with _lock:
        _counts[name, text] += n


def take_token() -> None:
    """Read the administrator's token, once, and take it out of the environment that child processes get."""
    given = os.environ.pop(TOKEN, "")
    _token[:] = [given] if given else []


def show(request: Request) -> Response:
    """Send all figures; to strangers there is no such page.

    Where people share the server, and everywhere through a proxy, only who sends the administrator's token
    may read them.
    """
    own = door.local(request) and not keys.shared()
    if not own and not door.bearer(request, "".join(_token)):
        return PlainTextResponse("not found", status_code=404)
    return Response(text(), media_type=MEDIA_TYPE)


def routes() -> list[Route]:
    """Return the route for `st.App(routes=…)`, also below a base path."""
    return [Route(base + ROUTE, show) for base in ("", "/{base:path}")]


def text() -> str:
    """Return all figures in the OpenMetrics format."""
    lines: list[str] = []
    for name, meaning in WORDS.items():
        lines += [f"# TYPE driftscope_{name} counter", f"# HELP driftscope_{name} {meaning}"]
        with _lock:
            found = sorted((label, n) for (one, label), n in _counts.items() if one == name)
        lines += [f"driftscope_{name}_total{{{label}}} {n}".replace("{}", "") for label, n in found]
    home = workspace.default_home().absolute()
    jobs = client.Jobs(home)
    lines += _gauge("jobs", "Jobs in the journal, by state.", jobs.journal.count_by_state(), label="state")
    lines += _gauge("sessions", "Open browser tabs.", {"": _sessions()})
    lines += _gauge("people", "People with a workspace.", {"": len(people.all_owners(home))})
    lines += _gauge("disk_free_bytes", "Room left where work is kept.", {"": shutil.disk_usage(home).free})
    lines += _gauge("job_service_up", "1 while the job service is alive.", {"": int(jobs.service().alive)})
    return "\n".join([*lines, "# EOF"]) + "\n"


def _gauge(name: str, meaning: str, values: dict[str, int], *, label: str = "") -> list[str]:
    head = [f"# TYPE driftscope_{name} gauge", f"# HELP driftscope_{name} {meaning}"]
    words = {key: f'{{{label}="{key}"}}' if label else "" for key in values}
    return head + [f"driftscope_{name}{words[key]} {value}" for key, value in values.items()]


def _sessions() -> int:
    return runtime.get_instance()._session_mgr.num_active_sessions() if runtime.exists() else 0
