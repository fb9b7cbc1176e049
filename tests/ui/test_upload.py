"""The upload route and the server's folder: what gets in, what does not, and what is left behind."""

import errno
import fcntl
import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette

from dynamics.errors import FileError
from ui import files


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DRIFTSCOPE_UPLOAD_GB", "0.02")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def port():
    """A server with the upload route alone, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    config = uvicorn.Config(Starlette(routes=files.routes()), port=free, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield free
    server.should_exit = True
    thread.join(10)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def post(port, body, *, path="/api/upload", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "{}")
    except (BrokenPipeError, ConnectionResetError):
        return 0, {}  # refused while we were still sending
    finally:
        connection.close()


def left_behind(home):
    folder = home / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("path", ["/api/upload", "/some/base/api/upload"])
def test_a_file_arrives_whole_and_can_be_taken_once(home, port, path):
    token, body = files.REGISTER.new_token(), bytes(range(256)) * 40_000
    status, answer = post(port, body, path=path, x_upload_token=token)
    assert status == 200
    assert answer["bytes"] == len(body)
    upload = files.REGISTER.take(answer["upload"], token)
    assert upload.path.read_bytes() == body
    assert upload.path.parent == home / "uploads"
    with pytest.raises(FileError, match="Upload it again"):
        files.REGISTER.take(answer["upload"], token)


def test_a_file_cannot_be_taken_from_another_page(home, port):
    token = files.REGISTER.new_token()
    _, answer = post(port, b"data", x_upload_token=token)
    with pytest.raises(FileError, match="not here any more"):
        files.REGISTER.take(answer["upload"], files.REGISTER.new_token())


def test_a_page_that_takes_nothing_leaves_few_files_behind(home, port):
    token = files.REGISTER.new_token()
    answers = [post(port, b"x", x_upload_token=token)[1]["upload"] for _ in range(10)]
    assert left_behind(home) == sorted(f"{id}.upload" for id in answers[-files.WAITING :])
    with pytest.raises(FileError, match="Upload it again"):
        files.REGISTER.take(answers[0], token)
    assert files.REGISTER.take(answers[-1], token).n_bytes == 1
    assert post(port, b"x", x_upload_token=files.REGISTER.new_token())[0] == 200
    assert len(left_behind(home)) == files.WAITING + 1


def test_one_persons_many_tabs_end_no_token_of_another(monkeypatch):
    monkeypatch.setattr(files, "TOKENS_EACH", 3)
    register = files.Register()
    first = register.new_token(files.Grant("ann", "seat"))
    tokens = [register.new_token(files.Grant("bob", "seat")) for _ in range(5)]
    assert register.knows(first)
    assert [register.knows(token) for token in tokens] == [False, False, True, True, True]


def test_a_file_on_its_way_counts_though_its_page_is_forgotten(monkeypatch):
    monkeypatch.setattr(files, "TOKENS_EACH", 1)
    register = files.Register()
    old = register.new_token(files.Grant("ann", ""))
    register.begin(old)
    new = register.new_token(files.Grant("ann", ""))
    assert not register.knows(old)
    assert register.reserve(old, 60, left=100)
    register.begin(new)
    assert not register.reserve(new, 60, left=100)
    register.end(old, None)
    assert register.reserve(new, 60, left=100)


@pytest.mark.parametrize("token", ["", "guess", "../../x"])
def test_without_a_token_nothing_gets_in(home, port, token):
    status, answer = post(port, b"data", x_upload_token=token)
    assert status == 403
    assert "Reload" in answer["error"]
    assert left_behind(home) == []


def test_another_site_cannot_send_files(home, port):
    status, _ = post(
        port, b"data", x_upload_token=files.REGISTER.new_token(), origin="http://elsewhere.example"
    )
    assert status == 403
    assert left_behind(home) == []


def test_a_file_over_the_limit_is_refused_with_the_limit(home, port):
    status, answer = post(port, bytes(21_000_000), x_upload_token=files.REGISTER.new_token())
    assert status in (0, 413)
    if status:
        assert "20 MB" in answer["error"]
    until(lambda: left_behind(home) == [])


def test_a_lying_length_does_not_get_past_the_limit(home, port):
    token = files.REGISTER.new_token()
    blocks = (bytes(1_000_000) for _ in range(25))
    status, _ = post(port, blocks, x_upload_token=token, transfer_encoding="chunked")
    assert status in (0, 413, 400)
    until(lambda: left_behind(home) == [])
    with pytest.raises(FileError):
        files.REGISTER.take("anything", token)


def test_an_empty_file_is_refused(home, port):
    status, answer = post(port, b"", x_upload_token=files.REGISTER.new_token())
    assert (status, answer) == (400, {"error": "The file is empty. Choose another one."})


def test_a_dropped_connection_leaves_nothing(home, port):
    token = files.REGISTER.new_token()
    head = (
        f"POST /api/upload HTTP/1.1\r\nHost: x\r\nX-Upload-Token: {token}\r\nContent-Length: 9000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + bytes(5_000_000))
        until(lambda: left_behind(home) != [])
    until(lambda: left_behind(home) == [])
    status, _ = post(port, b"again", x_upload_token=token)
    assert status == 200, "the page may try again"


def test_one_file_at_a_time_for_each_page(home):
    register = files.Register()
    token = register.new_token()
    register.begin(token)
    with pytest.raises(files.Refused, match="still on its way"):
        register.begin(token)
    register.end(token, None)
    register.begin(token)


def test_only_so_many_pages_hold_a_token(monkeypatch):
    monkeypatch.setattr(files, "TOKENS", 3)
    register = files.Register()
    tokens = [register.new_token() for _ in range(4)]
    assert [register.knows(token) for token in tokens] == [False, True, True, True]


def test_old_uploads_are_swept(home):
    (files.folder() / "old.upload").write_bytes(b"x")
    assert files.sweep(older_than_s=3600) == 0
    (files.folder() / "half a demo").mkdir()
    (files.folder() / "half a demo" / "data.h5ad").touch()
    assert files.sweep(older_than_s=-1) == 2
    assert not list(files.folder().iterdir())
    assert left_behind(home) == []


def test_a_part_goes_as_soon_as_nobody_writes_it(home):
    part = files.folder() / "half.part"
    with part.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert files.sweep() == 0
    assert files.sweep() == 1
    assert not part.exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk of the server is full"),
        (errno.EROFS, "disk of the server does not take the file"),
        (errno.EIO, "disk of the server does not take the file"),
    ],
)
def test_a_disk_that_takes_nothing_is_said(home, port, monkeypatch, number, said):
    async def failing(*_, **__):
        raise OSError(number, "a word of the system", "/a/path")

    monkeypatch.setattr(files, "_write", failing)
    status, answer = post(port, b"abc", x_upload_token=files.REGISTER.new_token())
    assert status == 507
    assert said in answer["error"]
    assert "/" not in answer["error"]


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    root = tmp_path / "shelf"
    (root / "sub").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for name in ("b.h5ad", "sub/a.H5AD", "notes.txt", ".secret.h5ad", ".hidden/c.h5ad"):
        (root / name).write_bytes(b"x")
    (tmp_path / "outside.h5ad").write_bytes(b"x")
    (root / "link.h5ad").symlink_to(tmp_path / "outside.h5ad")
    monkeypatch.setenv("DRIFTSCOPE_DATA", str(root))
    return root


def test_the_servers_folder_lists_what_can_be_opened(shelf):
    assert files.server_files() == ["b.h5ad", "sub/a.H5AD"]
    assert files.server_path("sub/a.H5AD") == shelf / "sub" / "a.H5AD"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.h5ad",
        "/etc/passwd",
        "link.h5ad",
        "sub",
        "none.h5ad",
        "",
        "notes.txt",
        ".secret.h5ad",
        ".hidden/c.h5ad",
        "sub/../.hidden/c.h5ad",
        "a\0b.h5ad",
        "a" * 5000 + ".h5ad",
    ],
)
def test_no_path_leads_out_of_the_servers_folder(shelf, path):
    with pytest.raises(FileError, match="not a file in the server's folder"):
        files.server_path(path)


def test_without_a_folder_nothing_is_offered(monkeypatch):
    monkeypatch.delenv("DRIFTSCOPE_DATA", raising=False)
    assert files.server_files() == []
    with pytest.raises(FileError, match="Upload the file instead"):
        files.server_path("x.h5ad")
