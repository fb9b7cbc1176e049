"""`python -m jobs`: the job service as a process of its own."""

import argparse
import os
import sys
from pathlib import Path

from dynamics.errors import DynamicsError
from jobs import logs
from jobs.journal import NO_ROOM
from jobs.service import serve

WARM_VARIABLE = "DRIFTSCOPE_WARM"


def main(arguments: list[str] | None = None) -> int:
    """Read the options and serve; 0 at the end, 2 with one line on stderr where it could not."""
    parser = argparse.ArgumentParser(prog="python -m jobs", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the workspace folder")
    parser.add_argument(
        "--scheduler", help="a running Dask scheduler, tcp://HOST:PORT; default: local workers"
    )
    parser.add_argument("--workers", type=int, help="number of local workers; default: one a core, at most 4")
    parser.add_argument("--memory", type=float, metavar="GB", help="memory limit of one local worker")
    parser.add_argument(
        "--no-warm",
        action="store_true",
        default=os.environ.get(WARM_VARIABLE) == "0",
        help=f"load nothing ahead of the first job (also: {WARM_VARIABLE}=0)",
    )
    parser.add_argument(
        "--idle", type=float, default=60.0, metavar="SECONDS", help="end when unused for so long; 0: never"
    )
    given = parser.parse_args(arguments)
    logs.begin()
    try:
        serve(
            given.home.absolute(),
            scheduler=given.scheduler,
            workers=given.workers,
            memory_gb=given.memory,
            warm_up=not given.no_warm,
            idle_s=given.idle,
        )
    except DynamicsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(
            f"error: The folder {given.home} cannot be used ({error.strerror or error}). {NO_ROOM}\n"
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
