"""The server as a user starts it: its settings are read from the running process, and tried from outside."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jobs import client
from jobs.workspace import Workspace
from tests.serving import free_port
from ui import own

ROOT = Path(__file__).resolve().parents[2]
SPY = """
import json, os, pathlib, sys, threading, time
folder = pathlib.Path(os.environ["SPY_FOLDER"])
(folder / f"environ-{os.getpid()}.json").write_text(json.dumps(dict(os.environ)))
def look():
    while not getattr(sys.modules.get("streamlit.config"), "_config_options", None):
        time.sleep(0.1)
    time.sleep(1)
    options = sys.modules["streamlit.config"]._config_options
    found = {name: options[name].value for name in options}
    (folder / "new.json").write_text(json.dumps(found, default=str))
    (folder / "new.json").rename(folder / "config.json")
if os.environ.get("SPY_PARENT") == str(os.getppid()):
    threading.Thread(target=look, daemon=True).start()
"""
SAFE = {
    "server.address": "127.0.0.1",
    "server.allowedHosts": ["localhost", "127.0.0.1", "::1"],
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.maxUploadSize": 50,
    "server.maxMessageSize": 50,
    "server.maxWidgetStateSize": 5,
    "server.disconnectedSessionTTL": 120,
    "server.showEmailPrompt": False,
    "server.trustedUserHeaders": {},
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "runner.magicEnabled": False,
}
TOKEN = "a token for metrics"


def asked_of_run(tmp_path, *options):
    """Return the words with which `./run` starts the server."""
    shutil.copy(ROOT / "run", tmp_path / "run")
    for name, text in (
        (".ci/setup", "#!/bin/sh\n"),
        (".venv/bin/python", '#!/bin/sh\nprintf "%s\\n" "$@"\n'),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTSCOPE_")}
    done = subprocess.run(
        ["./run", *options], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.split("\n")[:-1]


def test_run_starts_the_plain_app_for_this_machine_only(tmp_path):
    words = asked_of_run(tmp_path, "--no-browser", "--port", "8599")
    assert words[:4] == ["-m", "streamlit", "run", "app.py"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert given == {
        "--server.port": "8599",
        "--server.address": "127.0.0.1",
        "--server.headless": "true",
    }


class Live:
    """A running server, and what was seen of it from within."""

    def __init__(self, port, folder, process):
        self.port, self.folder, self.process = port, folder, process

    def get(self, path, *, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names, body=body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace")
        finally:
            connection.close()

    def seen(self, name):
        deadline = time.monotonic() + 60
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.1)
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """`streamlit run app.py` with nothing but a port, a log in JSON, and a token in its environment."""
    folder, port = tmp_path_factory.mktemp("live"), free_port()
    (folder / "sitecustomize.py").write_text(SPY)
    own = {"DRIFTSCOPE_HOME": str(folder), "DRIFTSCOPE_LOG": "json", "DRIFTSCOPE_WARM": "0"}
    own |= {"DRIFTSCOPE_METRICS_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    own |= {"SPY_FOLDER": str(folder), "SPY_PARENT": str(os.getpid()), "PYTHONPATH": str(folder)}
    words = ["-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.port", str(port)]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT", "DRIFT"))}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env | own, stdout=log, stderr=log)
    running = Live(port, folder, process)
    try:
        _until_it_answers(running)
        yield running
    finally:
        process.terminate()
        process.wait(60)
        client.stop_service(folder)


def _until_it_answers(running, within_s=240):
    deadline = time.monotonic() + within_s
    while True:
        try:
            if running.get("/healthz")[0] == 200:
                return
        except OSError:
            assert running.process.poll() is None, (running.folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the app did not start"
            time.sleep(0.1)


def test_the_running_server_has_the_safe_settings(live):
    config = live.seen("config.json")
    assert {name: config[name] for name in SAFE} == SAFE


def test_only_this_machine_is_listened_to(live):
    heard = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == "0A" and int(port, 16) == live.port:
                heard.add(address)
    assert heard == {"0100007F"}


def test_every_answer_forbids_what_a_browser_can_forbid(live):
    status, headers, _ = live.get("/")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    for rule in ("default-src", "script-src", "connect-src", "img-src", "form-action", "frame-ancestors"):
        assert "'self'" in policy[rule]
        assert not re.search(r"\*|https?:|(?<!')//", policy[rule])
    assert policy["object-src"] == "'none'"
    for path in ("/", "/healthz", "/_stcore/health", "/nothing.js"):
        _, headers, _ = live.get(path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "a@localhost"]
)
def test_other_names_of_the_server_are_refused(live, host):
    for path in ("/", "/metrics", "/api/map/array/x", "/static/js/x.js"):
        status, _, body = live.get(path, Host=host)
        assert status == 421
        assert "driftscope" not in body
    assert live.get("/api/upload", method="POST", body=b"x", Host=host)[0] == 421
    for path in ("/healthz", "/_stcore/health"):
        assert live.get(path, Host=host)[0] == 200


def socket_to(live, *, origin=None, host=None):
    headers = {"Host": host} if host else {}
    return connect(
        f"ws://127.0.0.1:{live.port}/_stcore/stream",
        origin=origin,
        subprotocols=["streamlit", "token"],
        additional_headers=headers,
        max_size=None,
    )


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil"]
)
def test_pages_of_others_cannot_connect(live, origin):
    with pytest.raises(InvalidStatus):
        socket_to(live, origin=origin)


def test_what_is_too_large_or_has_no_token_is_refused(live):
    assert live.get("/api/upload", method="POST", body=b"x")[0] == 403
    assert live.get("/api/upload", method="POST", body=b"x", Origin="http://evil.example")[0] == 403
    for path in ("/app/static/x", "/_stcore/agent", "/_stcore/agent/run", "/../app.py", "/%2e%2e/app.py"):
        status, _, body = live.get(path)
        assert "import streamlit" not in body
        assert status in (200, 400, 403, 404)
    assert live.get("/media/../app.py")[0] in (400, 403, 404)


def page_of(live, query):
    """Run a page over a connection of our own, and return what was sent and the type of each message."""
    heard, told = [], []
    with socket_to(live, origin=f"http://127.0.0.1:{live.port}") as socket:
        ask = BackMsg(rerun_script=ClientState(query_string=query, page_name="data"))
        socket.send(ask.SerializeToString())
        while not heard or heard[-1] != "script_finished":
            raw = socket.recv(timeout=60)
            message = ForwardMsg.FromString(raw)
            heard.append(message.WhichOneof("type"))
            told.append(message)
    return told


def test_an_unexpected_error_is_a_number_for_the_user_and_a_story_in_the_log(live):
    store = Workspace(live.folder)
    folder = store.home / "datasets" / "0123456789abcdef0123"
    folder.mkdir(parents=True)
    about = {"name": "broken", "origin": "a test", "created": 0.0}
    (folder / "about.json").write_text(json.dumps(about))
    (folder / "found.json").write_text(json.dumps({"roles": {"time_key": 3}, "report": {"roles": []}}))
    told = page_of(live, f"dataset={folder.name}")
    text = "\n".join(str(message) for message in told if not message.HasField("new_session"))
    (number,) = set(re.findall(r"\(error ([0-9A-F]{4})\)", text))
    for secret in ("Traceback", str(ROOT), str(live.folder), "AttributeError", "TypeError", "KeyError"):
        assert secret not in text
    lines = [
        json.loads(line) for line in (live.folder / "server.log").read_text().splitlines() if line[:1] == "{"
    ]
    (story,) = (line for line in lines if line.get("error") == number)
    assert story["level"] == "error"
    assert "Traceback" in story["story"]
    shutil.rmtree(folder)


NAME, VALUE = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r"-?\d+(\.\d+)?(e[+-]?\d+)?"
SAMPLE = re.compile(rf'({NAME})(\{{{NAME}="(?:[^"\\\n]|\\["\\n])*"\}})? ({VALUE})')


def test_the_counters_are_open_metrics_and_name_nobody(live):
    status, headers, body = live.get("/metrics")
    assert status == 200
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith("# EOF\n")
    kind, family, seen = "", "", set()
    for line in body.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in seen
            assert kind in ("counter", "gauge")
            seen.add(family)
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
        else:
            name = SAMPLE.fullmatch(line)[1]
            assert name == (f"{family}_total" if kind == "counter" else family)
    assert {"driftscope_uploads", "driftscope_errors", "driftscope_jobs", "driftscope_sessions"} <= seen
    assert live.get("/metrics", X_Forwarded_For="1.2.3.4")[0] == 404
    assert live.get("/metrics", X_Forwarded_For="1.2.3.4", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert live.get("/metrics", X_Forwarded_For="1.2.3.4", Authorization="Bearer x")[0] == 404
    health = json.loads(live.get("/healthz")[2])
    assert health["ok"] is True
    assert set(health["jobs"]) == {"alive", "warm"}


def test_other_accounts_of_the_machine_cannot_read_what_is_kept(live):
    deadline = time.monotonic() + 60
    while not (live.folder / "service.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kept = [*live.folder.glob("journal.sqlite*"), live.folder / "service.log"]
    assert len(kept) > 1
    assert not [path.name for path in kept if path.stat().st_mode & 0o077]


def test_child_processes_do_not_get_the_token(live):
    deadline = time.monotonic() + 60
    while len(found := list(live.folder.glob("environ-*.json"))) < 3:  # the server, the job service, a worker
        assert time.monotonic() < deadline
        time.sleep(0.1)
    own = live.folder / f"environ-{live.process.pid}.json"
    assert TOKEN in own.read_text()
    for path in {*found} - {own}:
        assert TOKEN not in path.read_text(), path


@pytest.mark.parametrize(
    ("landlock", "shared", "address", "said"),
    [
        (3, "", "http://localhost:8501/data", []),
        (0, "", "http://localhost:8501/data", [own.UNPROTECTED]),
        (3, "", "http://lab.example:8501/", [own.IN_COMMON]),
        (3, "", "https://lab.example/", [own.IN_COMMON]),
        (3, "1", "http://lab.example:8501/", [own.IN_THE_CLEAR]),
        (3, "1", "http://[::1]:8501/", []),
        (0, "1", "https://lab.example/", [own.UNPROTECTED]),
        (3, "1", "https://lab.example/", []),
        (3, "1", "", []),
    ],
)
def test_missing_protections_are_said_above_every_page(monkeypatch, landlock, shared, address, said):
    monkeypatch.setattr(own.landlock, "version", lambda: landlock)
    monkeypatch.setenv("DRIFTSCOPE_SHARED", shared)
    assert own.missing(address) == said


def test_the_head_of_a_page_shows_them(monkeypatch):
    told = []
    monkeypatch.setattr(own, "missing", lambda _: [own.UNPROTECTED])
    monkeypatch.setattr(own.st, "warning", lambda text, **_: told.append(text))
    monkeypatch.delenv("DRIFTSCOPE_SHARED", raising=False)
    own.head(None)
    assert told == [own.UNPROTECTED]


def test_a_foreign_name_is_refused_on_a_connection(live):
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
        ask = "GET /_stcore/stream HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
        ask += "Upgrade: websocket\r\n"
        raw.sendall(f"{ask}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
        assert b" 403 " in raw.recv(100)
