"""Whose turn it is: people alternate, and what one of them may take is bounded and said."""

from pathlib import Path

import pytest
from conftest import started
from hypothesis import given
from hypothesis import strategies as st

from dynamics.errors import JobError
from jobs import client, costs, people, quotas, turns
from jobs.journal import MIGRATIONS, Journal

ANNA, BEN = "a" * 40, "b" * 40


def rows(owners: str) -> list[dict]:
    """One waiting job for each letter, in the order in which they were given."""
    return [
        {"id": f"{owner}{number}", "owner": owner, "hidden": 0, "queued": 1.0, "number": number}
        for number, owner in enumerate(owners)
    ]


@pytest.mark.parametrize(
    ("owners", "served", "expected"),
    [
        ("aaabbb", {}, "ababab"),
        ("aaab", {}, "abaa"),
        ("aaab", {"a": 2, "b": 1}, "baaa"),
        ("abcabc", {"a": 3}, "bcabca"),
        ("aaaa", {"a": 7}, "aaaa"),
    ],
)
def test_the_one_served_longest_ago_comes_first(owners: str, served: dict, expected: str) -> None:
    assert "".join(id[0] for id in turns.line(rows(owners), served)) == expected


@given(st.text("abc", max_size=12), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)))
def test_everybody_keeps_their_own_order_and_nobody_waits_for_two_of_another(
    owners: str, served: dict
) -> None:
    waiting = rows(owners)
    order = turns.line(waiting, served)
    assert sorted(order) == sorted(row["id"] for row in waiting)
    for one in set(owners):
        own = [int(id[1:]) for id in order if id[0] == one]
        assert own == sorted(own)
        before = [id[0] for id in order[: order.index(f"{one}{own[-1]}")]]
        if not served:
            assert all(before.count(other) <= before.count(one) + 1 for other in set(owners))


def test_jobs_of_two_people_alternate_and_each_runs_one_at_a_time(toys: None, tmp_path: Path) -> None:
    anna, ben = client.Jobs(tmp_path, ANNA), client.Jobs(tmp_path, BEN)
    first = [anna.submit("count", {}) for _ in range(3)]
    second = [ben.submit("count", {}) for _ in range(3)]
    assert [anna.get(id).ahead for id in first] == [0, 2, 4]
    claim = anna.journal.claim
    assert [claim(at_once=1)["id"], claim(at_once=1)["id"]] == [first[0], second[0]]
    assert claim(at_once=1) is None
    anna.journal.finish(first[0], "done")
    assert claim(at_once=1)["id"] == first[1]
    assert claim(at_once=2)["id"] == second[1]


def test_two_people_take_turns_at_a_real_service(home: Path) -> None:
    anna, ben = client.Jobs(home, ANNA), client.Jobs(home, BEN)
    first = [anna.submit("count", {"steps": 3}) for _ in range(3)]
    second = [ben.submit("count", {"steps": 3}) for _ in range(2)]
    started(home, workers=1)
    done = [*(anna.wait(id) for id in first), *(ben.wait(id) for id in second)]
    assert [job.id for job in sorted(done, key=lambda job: job.started)] == [
        first[0],
        second[0],
        first[1],
        second[1],
        first[2],
    ]


def test_what_a_job_writes_is_told_from_what_it_reads(toys: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DRIFTSCOPE_QUOTA_GB", "0.1")
    anna = client.Jobs(tmp_path, ANNA)
    folder = anna.workspace / "datasets" / "dataset1"
    folder.mkdir(parents=True)
    (folder / "data.h5ad").write_bytes(bytes(30_000_000))
    asked = {"dataset": "dataset1"}
    assert costs.written(anna.workspace, "prepare", asked) == 90_000_000
    assert costs.held(anna.workspace, "prepare", asked) == 350_000_000
    assert costs.written(anna.workspace, "train", asked) == costs.MODEL
    assert costs.written(anna.workspace, "ingest", {"source": "/no/such/file"}) == 0
    monkeypatch.setattr(client.tasks, "find", lambda name: client.tasks.TASKS[name])
    with pytest.raises(
        JobError, match=r"needs about 90 MB; of your 100 MB on this server 70 MB are left\. Delete"
    ):
        anna.submit("prepare", asked)
    assert anna.list() == []
    assert not (anna.workspace / "jobs").exists()
    anna.submit("train", asked)


def test_nobody_lists_reads_stops_or_forgets_the_job_of_another(toys: None, tmp_path: Path) -> None:
    anna, ben, alone = client.Jobs(tmp_path, ANNA), client.Jobs(tmp_path, BEN), client.Jobs(tmp_path)
    id = anna.submit("count", {}, dataset="shared")
    for other in (ben, alone):
        assert other.list() == other.active("shared") == []
        for ask in (other.get, other.stop, other.resume, other.log, other.history):
            with pytest.raises(JobError, match="not in the list"):
                ask(id)
        other.forget(id)
    assert anna.get(id).state == "queued"
    assert anna.folder(id) == tmp_path / "people" / ANNA / "jobs" / id
    assert anna.folder(id).is_dir()


def test_a_job_runs_in_its_owners_workspace(toys: None, home: Path) -> None:
    started(home)
    anna = client.Jobs(home, ANNA)
    job = anna.wait(anna.submit("count", {"steps": 2}))
    assert job.state == "done"
    assert (home / "people" / ANNA / "jobs" / job.id / "log.txt").exists()
    assert "Done in" in anna.log(job.id)
    assert not any((home / "jobs").glob("*")) if (home / "jobs").exists() else True


def test_from_many_tabs_no_more_jobs_go_on_than_are_allowed(toys: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DRIFTSCOPE_QUEUED", "0")
    anna = client.Jobs(tmp_path, ANNA)
    first, second = (stopped(anna) for _ in range(2))
    check = client.Jobs.check

    def another_tab_is_between(jobs: client.Jobs, *args: object, **kwargs: object) -> None:
        check(jobs, *args, **kwargs)
        monkeypatch.setattr(client.Jobs, "check", check)
        jobs.resume(first)

    monkeypatch.setattr(client.Jobs, "check", another_tab_is_between)
    with pytest.raises(JobError, match="You have 1 jobs waiting or running, and one more was asked for"):
        anna.resume(second)
    assert [job.id for job in anna.active()] == [first]
    anna.stop(first)
    anna.resume(second)
    assert [job.id for job in anna.active()] == [second]


def stopped(jobs: client.Jobs) -> str:
    """Return a job that was stopped while it waited."""
    id = jobs.submit("count", {})
    jobs.stop(id)
    return id


def test_a_full_queue_is_told_before_anything_starts(toys: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DRIFTSCOPE_QUEUED", "2")
    anna, ben = client.Jobs(tmp_path, ANNA), client.Jobs(tmp_path, BEN)
    for _ in range(3):
        anna.submit("count", {})
    with pytest.raises(JobError, match=r"3 jobs waiting or running.*1 running and 2 waiting.*stop one"):
        anna.submit("count", {})
    assert len(list((anna.workspace / "jobs").iterdir())) == 3
    with pytest.raises(JobError, match="4 more were asked for"):
        ben.check(4)
    ben.submit("count", {})
    for _ in range(9):
        client.Jobs(tmp_path).submit("count", {})  # who has the home alone has no such limit


def test_a_full_workspace_is_told_with_what_was_found_and_the_limit(
    toys: None, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("DRIFTSCOPE_QUOTA_GB", "0.01")
    anna = client.Jobs(tmp_path, ANNA)
    anna.submit("count", {})
    (anna.workspace / "big").write_bytes(bytes(11_000_000))
    with pytest.raises(JobError, match=r"takes 0\.01 GB.*gives each person 0\.01 GB\. Delete"):
        anna.submit("count", {})
    assert quotas.left(anna.workspace) == 0
    client.Jobs(tmp_path).submit("count", {})


def test_a_limit_that_is_no_number_is_said(monkeypatch) -> None:
    monkeypatch.setenv("DRIFTSCOPE_KEEP_DAYS", "soon")
    with pytest.raises(JobError, match="DRIFTSCOPE_KEEP_DAYS='soon' is not a number"):
        quotas.from_environment()


def test_an_older_journal_is_taken_over(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("jobs.journal.MIGRATIONS", MIGRATIONS[:1])
    old = Journal(tmp_path / "journal.sqlite")
    with old._transaction() as db:
        db.execute(
            "INSERT INTO jobs (id, task, title, params, created, queued, updated)"
            " VALUES ('one', 'count', 'Count', '{}', 1, 1, 1)"
        )
    monkeypatch.undo()
    assert Journal(tmp_path / "journal.sqlite").rows(owner="")[0]["id"] == "one"


@pytest.mark.parametrize("owner", ["..", "a" * 39, "A" * 40, "a/../../etc"])
def test_an_owner_is_never_a_path(tmp_path: Path, owner: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        people.folder(tmp_path, owner)


def test_what_is_asked_for_fills_no_list_that_all_share(toys: None, tmp_path: Path) -> None:
    anna = client.Jobs(tmp_path, ANNA)
    with pytest.raises(JobError, match=r"takes 30 MB to write down; up to 20 MB can be kept\. Ask for fewer"):
        anna.submit("count", {"edges": "x" * 30_000_000})
    assert anna.list() == []
    id = anna.submit("count", {"steps": 1}, title="Open " + "x" * 1_000_000)
    assert len(anna.get(id).title) == client.LONGEST_TITLE
