"""A process that has its libraries loaded and forks a child for each order, so that no order waits for them.

It does not look at what an order is about, and ends with the process that started it. Where forking is not
safe (macOS) it does the one order itself, and a new one is started for the next.
"""

import atexit
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FORKS = sys.platform == "linux"
LONGEST_ORDER = 64 * 1024
LONGEST_ERRORS = 20_000
HIGHEST_FILE = 1024
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG
LEFT = None
"""The code of a child whose nursery went away before it."""


class Nursery:
    """The process that is kept ready, seen from the one that gives orders; one order at a time.

    Parameters
    ----------
    module
        Run as `python -m module`, which calls `serve`.
    folder
        Working directory.
    environment
        All that the process gets to know of the environment of this one.
    """

    def __init__(self, module: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        self._start = {"args": [sys.executable, "-m", module], "cwd": folder, "env": dict(environment)}
        self._process: subprocess.Popen | None = None
        self._turn, self._starting = threading.Lock(), threading.Lock()
        atexit.register(self.close)

    def warm(self) -> None:
        """See that the process is there, or on its way."""
        with self._starting:
            if self._process is not None and self._process.poll() is None:
                return
            self._forget()
            self._post, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    **self._start,
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def begin(self, order: Mapping[str, Any]) -> "Child":
        """Have an order carried out; `Child.end` must follow."""
        self._turn.acquire()
        try:
            return Child(self, order)
        except BaseException:
            self._turn.release()
            raise

    def give(self, order: Mapping[str, Any], files: tuple[int, int]) -> None:
        """Send an order with the files to which its child writes what it says, and its errors."""
        content = json.dumps(order).encode() + b"\n"
        for _ in range(2):
            self.warm()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._post, [content], files)
                return
            self.close()
        raise ChildProcessError("the process that reads files could not be started")

    def reap(self, patience_s: float) -> int | None:
        """Wait for the child, at last by force, and let the next order in; return how it ended."""
        try:
            said = self._answer(patience_s)
            if not said:  # the nursery did the order itself, or was ended
                code = self._process.wait()
                return LEFT if FORKS else code
            return int(json.loads(said)["code"])
        finally:
            self._turn.release()

    def _answer(self, patience_s: float) -> bytes:
        if not select.select([self._post], [], [], patience_s)[0]:
            if FORKS:
                self._post.sendall(b"end\n")
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            return self._post.recv(LONGEST_ORDER)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """End the process and what it does."""
        with self._starting:
            self._forget()

    def _forget(self) -> None:
        if self._process is not None:
            self._post.close()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Child:
    """One order at work, in a process group of its own.

    Attributes
    ----------
    output
        What it says, to be read to its end.
    code
        How it ended, negative for a signal; `LEFT` where that is not known.
    """

    def __init__(self, nursery: Nursery, order: Mapping[str, Any]) -> None:
        self._nursery, self._ended, self.code = nursery, False, LEFT
        read, write = os.pipe()
        self.output, self._errors = os.fdopen(read, "rb"), tempfile.TemporaryFile()  # noqa: SIM115
        try:
            nursery.give(order, (write, self._errors.fileno()))
        except BaseException:
            self.close()
            raise
        finally:
            os.close(write)

    def end(self, patience_s: float = 0.0) -> int | None:
        """Wait for its end, and return its code; what has not ended in time is ended by force."""
        if not self._ended:
            self._ended = True
            self.code = self._nursery.reap(patience_s)
        return self.code

    def close(self) -> bytes:
        """Let go of what it said; return the beginning of what it wrote to standard error."""
        self._errors.seek(0)
        with self.output, self._errors as written:
            return written.read(LONGEST_ERRORS)


# in the process that is kept ready


def serve(carry_out: Callable[[dict[str, Any]], None]) -> None:
    """Wait for orders on standard input, which is a socket, and have a child carry out each of them."""
    post = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        content, files, *_ = socket.recv_fds(post, LONGEST_ORDER, 2)
        if not content:
            return
        if len(files) != 2:  # what was left of a word to end a child that had ended
            continue
        pid = os.fork() if FORKS else 0
        if pid == 0:
            _be_child(carry_out, json.loads(content), files, post=post)
        for file in files:
            os.close(file)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does so too: whoever comes first
        post.sendall(json.dumps({"code": _watch(pid, post, woken)}).encode())


def _watch(pid: int, post: socket.socket, woken: int) -> int:
    """Wait until a child has ended, end it when told to, and end what it leaves behind."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        ready, _, _ = select.select([post, woken], [], [])
        if post in ready:  # "end", or the process that gave the order is gone
            post.recv(LONGEST_ORDER)
            os.killpg(pid, signal.SIGKILL)
        if woken in ready:
            os.read(woken, 4096)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # its number is still its own: it was not yet waited for
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be_child(
    carry_out: Callable[[dict[str, Any]], None],
    order: dict[str, Any],
    files: list[int],
    *,
    post: socket.socket,
) -> None:
    """Carry out one order and end; does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for file, place in zip(files, (1, 2), strict=True):
            os.dup2(file, place)
        if FORKS:
            ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
            os.setpgid(0, 0)
            post.detach()
            os.closerange(3, HIGHEST_FILE)
        carry_out(order)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a fork may not run on as a second nursery, whatever happened
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
