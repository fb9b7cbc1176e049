"""The journal: every job, its state and its progress in one SQLite file, the truth about all work.

It is also the only channel between the pages and the job service: a page adds a row or asks for a stop,
the service reads and writes. Each change is a transaction flushed to disk.
"""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from dynamics import faults
from dynamics.disk import make_folder
from dynamics.errors import JobError
from jobs import turns
from jobs.journal_layout import MIGRATIONS

BUSY_S = 10.0
NO_ROOM = (
    "Make room on the disk, and let the account that runs Driftscope write to the folder; then try again."
)
HISTORY_SHOWN = 5000
WAITING = ("queued",)
AT_WORK = ("running", "stopping")
OVER = ("done", "failed", "stopped", "interrupted")


class Asked(NamedTuple):
    """What clients want: numbers of jobs that wait (asked for by somebody, or hidden), jobs to stop."""

    waiting: int
    waiting_hidden: int
    stopping: frozenset[str]


class JournalError(JobError):
    """The journal cannot be read or written now; what it holds is safe, and later it may be again."""


class Journal:
    """The jobs of one home. Safe to use from several processes and threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            make_folder(path.parent, mode=0o700)
        except OSError as error:
            raise JournalError(
                f"The folder {path.parent} cannot be used ({error.strerror}). {NO_ROOM}"
            ) from error
        self._migrate()

    def _migrate(self) -> None:
        with self._connection() as db:
            db.execute("PRAGMA journal_mode=WAL")
            if db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS):
                return
        with self._transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise JobError(
                    f"The list of jobs was written by a newer version of Driftscope (layout {version}, this "
                    f"version knows {len(MIGRATIONS)}). Start the newer version, or use another --home."
                )
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                db.execute("PRAGMA synchronous=FULL")
                db.execute("PRAGMA foreign_keys=ON")
                yield db
        except sqlite3.OperationalError as error:
            raise JournalError(_words(error)) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):  # our own mistake
                raise
            raise JournalError(
                f"The list of jobs is damaged ({self.path.name}: {error}). Data sets and models are kept "
                f"elsewhere and are safe. Stop Driftscope, move the files {self.path.name}* in the home "
                "folder away, and start it again: it begins a new list."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            faults.at("journal commit", as_error=sqlite3.OperationalError)
            db.execute("COMMIT")
            faults.at("journal commit", only="kill")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the file open: the last one to close it would have to tidy it up each time."""
        with self._connection() as db:
            db.execute("SELECT 1 FROM jobs").fetchone()
            yield

    def is_gone(self) -> bool:
        """Say whether the file was taken away, or a new, empty one stands in its place."""
        try:
            return self.path.stat().st_size == 0
        except FileNotFoundError:
            return True
        except OSError:
            return False

    # jobs

    def add(
        self,
        id: str,
        *,
        task: str,
        title: str,
        params: Mapping,
        dataset: str | None,
        hidden: bool = False,
        owner: str = "",
        most: int | None = None,
    ) -> bool:
        """Put a job at the end of the queue; False where its owner has `most` jobs or more already."""
        now = time.time()
        fields = {"id": id, "task": task, "title": title, "params": json.dumps(params, allow_nan=False)}
        fields |= {"dataset": dataset, "hidden": int(hidden), "owner": owner}
        fields |= {"created": now, "queued": now, "updated": now}
        marks = ", ".join("?" * len(fields))
        with self._transaction() as db:
            if most is not None and self._count(db, owner) >= most:
                return False
            db.execute(f"INSERT INTO jobs ({', '.join(fields)}) VALUES ({marks})", tuple(fields.values()))
        return True

    def _count(self, db: sqlite3.Connection, owner: str) -> int:
        """Return how many jobs of a person wait or run."""
        states = WAITING + AT_WORK
        return db.execute(
            f"SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ({', '.join('?' * len(states))})",
            (owner, *states),
        ).fetchone()[0]

    def _owner(self, db: sqlite3.Connection, id: str) -> str:
        found = db.execute("SELECT owner FROM jobs WHERE id = ?", (id,)).fetchone()
        return found["owner"] if found else ""

    def row(self, id: str) -> dict | None:
        """Return all that is known about one job, with the number of jobs `ahead` of it in the queue."""
        found = self._rows("WHERE id = ?", (id,))
        return found[0] if found else None

    def rows(
        self,
        *,
        states: Sequence[str] = (),
        dataset: str | None = None,
        hidden: bool | None = False,
        owner: str | None = None,
        limit: int = 50,
    ) -> list[dict]:
        """Return jobs, newest first; `hidden=None` asks for both kinds, `owner=None` for everybody's."""
        tests, values = [], []
        if owner is not None:
            tests.append("owner = ?")
            values.append(owner)
        if states:
            tests.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        if dataset is not None:
            tests.append("dataset = ?")
            values.append(dataset)
        if hidden is not None:
            tests.append("hidden = ?")
            values.append(int(hidden))
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        return self._rows(f"{where} ORDER BY number DESC LIMIT ?", (*values, limit))

    def _rows(self, rest: str, values: Sequence) -> list[dict]:
        with self._connection() as db:
            found = db.execute(f"SELECT * FROM jobs {rest}", tuple(values)).fetchall()
            waits = any(row["state"] == "queued" for row in found)
            order = turns.line(*self._queue(db)) if waits else []
        places = {id: place for place, id in enumerate(order)}
        return [_plain(row) | {"ahead": places.get(row["id"], 0)} for row in found]

    def _queue(self, db: sqlite3.Connection) -> tuple[list[sqlite3.Row], dict[str, int]]:
        """Return the waiting jobs, and at which turn each owner was served last."""
        waiting = db.execute("SELECT id, owner, hidden, queued, number FROM jobs WHERE state = 'queued'")
        return waiting.fetchall(), dict(db.execute("SELECT owner, served FROM turns").fetchall())

    def asked(self) -> Asked:
        """Return what the service is asked for at the moment."""
        with self._connection() as db:
            found = db.execute(
                "SELECT id, state, hidden FROM jobs WHERE state IN ('queued', 'stopping')"
            ).fetchall()
        hidden = [row["hidden"] for row in found if row["state"] == "queued"]
        stopping = frozenset(row["id"] for row in found if row["state"] == "stopping")
        return Asked(hidden.count(0), hidden.count(1), stopping)

    def count_by_state(self) -> dict[str, int]:
        """Return how many jobs are in each state, everybody's together."""
        with self._connection() as db:
            found = db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall()
        return {state: 0 for state in WAITING + AT_WORK + OVER} | {row[0]: row[1] for row in found}

    def claim(self, *, at_once: int | None = None) -> dict | None:
        """Take the job whose turn it is, now "running"; None where nothing waits that may start.

        Parameters
        ----------
        at_once
            Number of jobs of one person that may run at the same time; does not bind the owner "".
        """
        now = time.time()
        with self._transaction() as db:
            waiting, served = self._queue(db)
            busy = self._busy(db, at_once) if at_once is not None else frozenset()
            order = turns.line([row for row in waiting if row["owner"] not in busy], served)
            if not order:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, started = ?, updated = ?,"
                " finished = NULL, error = NULL, first_fraction = NULL, message = 'Starting' WHERE id = ?",
                (now, now, order[0]),
            )
            db.execute(
                "INSERT OR REPLACE INTO turns (owner, served) SELECT owner,"
                " (SELECT coalesce(max(served), 0) + 1 FROM turns) FROM jobs WHERE id = ?",
                (order[0],),
            )
        return self.row(order[0])

    def _busy(self, db: sqlite3.Connection, at_once: int) -> frozenset[str]:
        """Return the people who have so many jobs at work."""
        found = db.execute(
            "SELECT owner FROM jobs WHERE owner != '' AND state IN ('running', 'stopping')"
            " GROUP BY owner HAVING COUNT(*) >= ?",
            (at_once,),
        )
        return frozenset(row["owner"] for row in found)

    def change(self, id: str, *, if_in: Sequence[str], most: int | None = None, **fields: object) -> bool:
        """Change fields of a job that is in one of the given states; False where not, or as in `add`."""
        fields["updated"] = time.time()
        names = ", ".join(f"{name} = ?" for name in fields)
        marks = ", ".join("?" * len(if_in))
        with self._transaction() as db:
            if most is not None and self._count(db, self._owner(db, id)) >= most:
                return False
            done = db.execute(
                f"UPDATE jobs SET {names} WHERE id = ? AND state IN ({marks})", (*fields.values(), id, *if_in)
            )
            return done.rowcount == 1

    def again(self, id: str, *, resumed: int, most: int | None = None) -> bool:
        """Put a job that is over, but not done, back into the queue; False where not, or as in `add`."""
        return self.change(
            id,
            if_in=[state for state in OVER if state != "done"],
            most=most,
            state="queued",
            queued=time.time(),
            started=None,
            finished=None,
            error=None,
            resumed=resumed,
            message="Waiting to go on",
        )

    def finish(self, id: str, state: str, *, error: str | None = None, result: Mapping | None = None) -> bool:
        """End a job that is at work."""
        fields: dict[str, object] = {"state": state, "finished": time.time(), "error": error}
        if state == "done":
            fields |= {"fraction": 1.0, "message": "Done", "result": json.dumps(result or {})}
        return self.change(id, if_in=AT_WORK, **fields)

    def report(
        self, id: str, *, fraction: float, message: str, figures: Sequence[Mapping], attempt: int
    ) -> None:
        """Keep what a running job says about its progress."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE jobs SET fraction = ?, message = ?, updated = ?,"
                " first_fraction = coalesce(first_fraction, ?)"
                " WHERE id = ? AND attempt = ? AND state IN ('running', 'stopping')",
                (fraction, message, time.time(), fraction, id, attempt),
            )
            if done.rowcount:
                self._keep(db, id, figures)

    def add_figures(self, id: str, figures: Sequence[Mapping]) -> None:
        """Keep figures that came with the end of a job."""
        with self._transaction() as db:
            self._keep(db, id, figures)

    def _keep(self, db: sqlite3.Connection, id: str, figures: Sequence[Mapping]) -> None:
        db.executemany(
            "INSERT INTO history (job, figures) VALUES (?, ?)", [(id, json.dumps(one)) for one in figures]
        )

    def history(self, id: str) -> list[dict]:
        """Return the figures that a job reported, oldest first."""
        with self._connection() as db:
            found = db.execute(
                "SELECT figures FROM history WHERE job = ? ORDER BY number DESC LIMIT ?", (id, HISTORY_SHOWN)
            ).fetchall()
        return [json.loads(row["figures"]) for row in reversed(found)]

    def forget(self, id: str) -> bool:
        """Take a job that is over out of the list."""
        marks = ", ".join("?" * len(OVER))
        with self._transaction() as db:
            return (
                db.execute(f"DELETE FROM jobs WHERE id = ? AND state IN ({marks})", (id, *OVER)).rowcount == 1
            )

    # the service and those who use it

    def beat(self, **fields: object) -> None:
        """Say that the service is alive, and how it is."""
        fields = {"one": 1, "beat": time.time(), **fields}
        marks = ", ".join("?" * len(fields))
        with self._transaction() as db:
            db.execute(
                f"INSERT OR REPLACE INTO service ({', '.join(fields)}) VALUES ({marks})",
                tuple(fields.values()),
            )

    def service(self) -> dict | None:
        """Return the last sign of life of the service; None where none ever ran."""
        with self._connection() as db:
            row = db.execute("SELECT * FROM service").fetchone()
        return dict(row) if row else None

    def touch(self, name: str) -> None:
        """Say that somebody (a web server) wants the service to stay."""
        now = time.time()
        with self._transaction() as db:
            db.execute("DELETE FROM clients WHERE beat < ?", (now - 86_400,))
            db.execute("INSERT OR REPLACE INTO clients (name, beat) VALUES (?, ?)", (name, now))

    def leave(self, name: str) -> None:
        """Take back what `touch` said."""
        with self._transaction() as db:
            db.execute("DELETE FROM clients WHERE name = ?", (name,))

    def last_touch(self) -> float:
        """Return when somebody last wanted the service, in seconds since 1970; 0 for never."""
        with self._connection() as db:
            return db.execute("SELECT coalesce(max(beat), 0) FROM clients").fetchone()[0]


def _words(error: sqlite3.OperationalError) -> str:
    """Say why the journal cannot be used, and what to do."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL" or str(error) == os.strerror(errno.ENOSPC):
        why = f"The disk is full, so the list of jobs cannot be written. {NO_ROOM}"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        why = f"The list of jobs cannot be opened for writing ({error}). {NO_ROOM}"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        why = f"The list of jobs was in use for longer than {BUSY_S:g} seconds. Try again."
    else:
        why = f"The list of jobs cannot be used ({error}). Try again; if it stays, have the disk checked."
    return f"{why} What was saved is safe."


def _plain(row: sqlite3.Row) -> dict:
    found = dict(row)
    found["params"] = json.loads(found["params"])
    found["result"] = json.loads(found["result"]) if found["result"] else {}
    return found
