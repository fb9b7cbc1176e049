"""What the reading process may ask of the kernel."""

import platform
import subprocess
import sys

import pytest

from jobs import sandbox, syscalls

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in syscalls._FORBIDDEN,
    reason="not known for this system",
)
CODE = """
import os, socket, subprocess, sys, threading
from jobs import syscalls
if not syscalls.forbid():
    raise SystemExit("not offered")
done = []
tries = {
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "local": lambda: socket.socket(socket.AF_UNIX),
    "program": lambda: os.execv("/bin/true", ["true"]),
    "session": os.setsid,
    "group": lambda: os.setpgid(0, 0),
}
for name, attempt in tries.items():
    try:
        attempt()
    except PermissionError:
        continue
    raise SystemExit(name)
thread = threading.Thread(target=lambda: done.append(open(os.__file__).read(10)))
thread.start()
thread.join()
assert done
print("held")
"""


def test_neither_network_nor_programs_nor_another_group():
    result = subprocess.run(
        [sys.executable, "-c", CODE], cwd=sandbox.ROOT, capture_output=True, text=True, check=False
    )
    if "not offered" in result.stderr:
        pytest.skip("this kernel does not offer it")
    assert result.stdout == "held\n", result.stderr
