"""The server as it ships: its settings, its routes, and the one place where errors become text."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from dynamics.errors import DataError
from jobs import client
from tests.hostile.names import plain
from ui import errors

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings():
    return tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())


def flat(table, before=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def test_every_setting_is_one_that_streamlit_knows(settings):
    unknown = [name for name, _ in flat(settings) if name not in config.get_config_options()]
    assert unknown == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server.address", "127.0.0.1"),
        ("server.fileWatcherType", "none"),
        ("server.allowedHosts", ["localhost", "127.0.0.1", "::1"]),
        ("server.enableStaticServing", False),
        ("server.enableAgentApi", False),
        ("server.enableCORS", True),
        ("server.enableXsrfProtection", True),
        ("browser.gatherUsageStats", False),
        ("client.showErrorDetails", "none"),
        ("client.showErrorLinks", False),
    ],
)
def test_the_app_is_safe_as_shipped(settings, name, value):
    assert dict(flat(settings))[name] == value


def luminance(colour):
    parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("textColor", "backgroundColor", 7.0),
        ("textColor", "secondaryBackgroundColor", 7.0),
        ("linkColor", "backgroundColor", 4.5),
        ("grayTextColor", "backgroundColor", 4.5),
        ("primaryColor", "backgroundColor", 3.0),
        ("primaryColor", "white", 4.5),
    ],
)
def test_text_stands_out_from_its_background(settings, theme, front, back, least):
    colours = {**settings["theme"][theme], "white": "#ffffff"}
    low, high = sorted(luminance(colours[name]) for name in (front, back))
    assert (high + 0.05) / (low + 0.05) >= least


def failing(kind, message):
    from dynamics.errors import DataError
    from ui import errors

    errors.show(DataError(message) if kind == "known" else RuntimeError(message))


def test_what_the_user_can_mend_is_said_in_its_own_words():
    message = "Found 3 *times* in obs[day], expected ![x](http://h/p.png)"
    app = AppTest.from_function(failing, args=("known", message), default_timeout=20).run()
    (box,) = app.error
    assert "![" not in box.value
    assert "*times*" not in box.value
    assert plain(box.value) == message


def test_what_nobody_expected_gets_a_number_and_its_story_in_the_log(caplog):
    app = AppTest.from_function(failing, args=("other", "secret /home/me/data"), default_timeout=20).run()
    (box,) = app.error
    assert "secret" not in box.value
    number = box.value.split("(error ")[1][:4]
    assert f"Error {number}" in caplog.text
    assert "secret /home/me/data" in caplog.text


def test_what_is_told_is_no_story_in_the_log(caplog):
    told, bug = DataError("No times."), ValueError("a bug")
    streamlits, uvicorns = (logging.getLogger(name) for name in (errors.STREAMLITS, errors.UVICORNS))
    errors.begin()
    try:
        for error in (told, bug):
            streamlits.error("Uncaught app execution", exc_info=error)
        for words in (errors.ANSWERED, "another"):
            uvicorns.error(words)
    finally:
        for log in (streamlits, uvicorns):
            log.removeFilter(errors.has_a_story)
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [bug, None]
    assert caplog.records[1].getMessage() == "another"


def test_a_flood_of_what_is_told_is_counted_and_not_written():
    now = 0.0
    few = errors.Few(3, lambda: now)
    assert [few.next() for _ in range(1000)] == [0, 0, 0, *997 * [None]]
    now = errors.MINUTE_S
    assert [few.next() for _ in range(4)] == [997, 0, 0, None]


def test_pages_compute_on_one_thread_so_that_sessions_do_not_wait_for_each_other():
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    code = "import app, torch; print(torch.get_num_threads())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert told.stdout.split()[-1:] == ["1"], told.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app as `./run` starts it, with its job service, on a free port."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    process = subprocess.Popen(
        [*command, "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, "DRIFTSCOPE_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until_healthy(port, process)
        yield port, home
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        client.stop_service(home)


def until_healthy(port, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        try:
            if get(port, "/_stcore/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def get(port, path, *, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_fresh_server_has_its_job_service(server):
    port, home = server
    status, body = get(port, "/healthz")
    assert status == 200
    assert json.loads(body)["ok"]
    deadline = time.monotonic() + 30
    while not json.loads(get(port, "/healthz")[1])["jobs"]["alive"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert client.Jobs(home).service().alive


@pytest.mark.parametrize("path", ["/", "/data", "/flow?dataset=x&model=y", "/nothing-here"])
def test_every_address_gives_the_app(server, path):
    status, body = get(server[0], path)
    assert status == 200
    assert "<title>" in body


def test_the_upload_route_stands_and_wants_a_token(server):
    port, home = server
    status, body = get(port, "/api/upload", method="POST")
    assert (status, json.loads(body)["error"][:16]) == (403, "This page is too")
    assert list((home / "uploads").iterdir()) == []


def test_the_map_can_load_its_code(server):
    assert get(server[0], "/api/map/array/unknown")[0] == 404


def test_a_disk_without_room_is_no_health(tmp_path, monkeypatch):
    import app

    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path))
    assert app.health(None).status_code == 200
    monkeypatch.setattr("jobs.quotas.ROOM_MB", 10**12)
    answer = app.health(None)
    assert answer.status_code == 503
    assert json.loads(answer.body) == {"ok": False, "jobs": None}
