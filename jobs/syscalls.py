"""Take calls to the kernel away from this process that reading a file has no need of, where Linux lets it.

No network of any kind, no other program, no look into another process, no leaving of its group.

References
----------
Linux kernel documentation, "Seccomp BPF (SECure COMPuting with filters)".
"""

import ctypes
import errno
import platform
import sys
from collections.abc import Sequence

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _MACHINE = 0, 4
"""Where a call's description holds its number, and the machine whose number it is."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_OTHER_NUMBERS = 0x40000000
"""From here on, numbers are those of a second, rarely used set of calls."""
_FORBIDDEN = {
    "x86_64": (
        0xC000003E,
        # socket, connect, sendto, sendmsg, bind, socketpair, fork, vfork, execve, ptrace, setpgid, setsid
        (41, 42, 44, 46, 49, 53, 57, 58, 59, 101, 109, 112),
        # process_vm_readv, process_vm_writev, bpf, execveat, io_uring_setup
        (310, 311, 321, 322, 425),
    ),
    "aarch64": (
        0xC00000B7,
        # socket, socketpair, bind, connect, sendto, sendmsg, execve, ptrace, setpgid, setsid
        (198, 199, 200, 203, 206, 211, 221, 117, 154, 157),
        # process_vm_readv, process_vm_writev, bpf, execveat, io_uring_setup
        (270, 271, 280, 281, 425),
    ),
}


class _Step(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_so", ctypes.c_uint8),
        ("if_not", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def forbid() -> bool:
    """Have the calls refused from here on; whether the system could do it."""
    known = _FORBIDDEN.get(platform.machine())
    if known is None or not sys.platform.startswith("linux"):
        return False
    machine, *numbers = known
    steps = _steps(machine, [number for part in numbers for number in part])
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return library.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0


def _steps(machine: int, numbers: Sequence[int]) -> list[_Step]:
    """Look at the machine, then the number: the last step but one refuses, the last allows."""
    n = len(numbers)
    steps = [_Step(_LOAD, 0, 0, _MACHINE), _Step(_IS, 0, n + 2, machine), _Step(_LOAD, 0, 0, _NUMBER)]
    steps.append(_Step(_AT_LEAST, n, 0, _OTHER_NUMBERS))
    for k, number in enumerate(numbers):
        is_last = k == n - 1
        steps.append(_Step(_IS, n - 1 - k, 1 if is_last else 0, number))
    return [*steps, _Step(_RETURN, 0, 0, _REFUSE), _Step(_RETURN, 0, 0, _ALLOW)]
