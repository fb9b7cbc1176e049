"""Driftscope without a browser: the same work for scripts and clusters."""

import argparse
import signal
import sys
from collections.abc import Sequence

from commands import data, fates, learning, perturb, regulation, results, shared
from dynamics.errors import DynamicsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 something the user can mend, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        shared.check_output(options)
        options.run(options)
    except (DynamicsError, OSError) as problem:
        print(f"error: {_plain(problem)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was half-written", file=sys.stderr)
        return 130
    return 0


def _plain(problem: Exception) -> str:
    """Return an error in one line, without characters that steer a terminal."""
    line = " ".join(str(problem).split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="cli.py", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for group in (data, learning, results, fates, regulation, perturb):
        group.add(commands)
    return top


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
