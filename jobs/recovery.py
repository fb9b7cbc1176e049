"""What becomes of the jobs of a service, or of a connection to a cluster, that went away."""

from collections.abc import Collection, Mapping
from pathlib import Path

from jobs import people, tasks, worker
from jobs.client import Jobs
from jobs.journal import AT_WORK, WAITING, Journal

GO_ON = " Resume it to go on."


def job_folder(home: Path, row: Mapping) -> Path:
    """Return the folder of a job, which lies in its owner's workspace."""
    return people.folder(home, row["owner"]) / "jobs" / row["id"]


def recover(journal: Journal, home: Path, *, at_work: Collection[str] = ()) -> None:
    """Settle what a service, or a connection, that went away left behind.

    A job whose result is there is done; one that was to stop is stopped; any other is interrupted. Jobs with
    checkpoints go on by themselves, once: a job that takes the service down with it is not tried for ever.
    Those in `at_work` are left alone.
    """
    settle(journal, home, at_work=at_work)
    for row in journal.rows(hidden=True, limit=1000):
        if row["id"] not in at_work:
            journal.change(row["id"], if_in=WAITING, state="stopped")
            Jobs(home, row["owner"]).forget(row["id"])
    for row in reversed(journal.rows(states=("interrupted",), limit=1000)):
        task = tasks.known().get(row["task"])
        if task and task.resumable and not row["resumed"]:
            journal.again(row["id"], resumed=1)


def settle(journal: Journal, home: Path, *, at_work: Collection[str]) -> None:
    """Settle jobs that the journal calls at work though nobody works on them."""
    for row in journal.rows(states=AT_WORK, hidden=None, limit=1000):
        if row["id"] not in at_work:
            _settle(journal, row, worker.read_result(job_folder(home, row)))


def _settle(journal: Journal, row: dict, result: dict | None) -> None:
    if result is not None:
        journal.finish(row["id"], "done", result=result)
    elif row["state"] == "stopping":
        journal.finish(row["id"], "stopped")
    else:
        error = "The job service ended during this job." + GO_ON
        journal.finish(row["id"], "interrupted", error=error)
