"""Driftscope without a browser: the same work for scripts and clusters."""

import argparse
import signal
import sys
from collections.abc import Sequence

from commands import data, fates, learning, perturb, regulation, results, shared, terminal
from dynamics.errors import DynamicsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 something the user can mend, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        with terminal.log_kept():
            shared.check_output(options)
            options.run(options)
    except (DynamicsError, OSError) as problem:
        terminal.error(problem)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was half-written", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="cli.py", description=__doc__, epilog=f"Log: {terminal.place()}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for group in (data, learning, results, fates, regulation, perturb):
        group.add(commands)
    return top


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
