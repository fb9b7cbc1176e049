"""Driftscope without a browser: the same work for scripts and clusters."""

import argparse
import signal
import sys
from collections.abc import Sequence

from commands import data, fates, learning, perturb, regulation, results
from dynamics.errors import DynamicsError
from dynamics.printable import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 something the user can mend, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (DynamicsError, OSError) as problem:
        print(f"error: {printable(problem)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was half-written", file=sys.stderr)
        return 130
    return 0


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
