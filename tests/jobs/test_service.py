"""The job service as a process of its own: what it promises, with light tasks."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import started, until

from dynamics.errors import JobError
from jobs import client, process


def test_a_job_is_done_with_progress_and_result(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 40, "pause": 0.02}, title="Counting", dataset="abc")
    seen = set()
    until(lambda: seen.add(service.get(id).fraction) or service.get(id).over)
    job = service.get(id)
    assert (job.state, job.fraction, job.title, job.error) == ("done", 1.0, "Counting", None)
    assert job.result["counted"] == 40
    assert len(seen) >= 3
    assert service.history(id)[0] == {"step": 1, "loss": 1.0}
    assert service.history(id)[-1] == {"step": 40, "loss": 1 / 40}
    assert "Done in" in service.log(id)
    assert service.list(dataset="abc")[0].id == id


def test_an_idle_service_takes_a_job_at_once(service: client.Jobs) -> None:
    waits = []
    for _ in range(5):
        job = service.wait(service.submit("count", {"steps": 1}))
        waits.append(job.started - job.created)
    assert sorted(waits)[2] < 0.3


def test_a_new_client_finds_the_job(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 30, "pause": 0.02})
    script = "import sys; from jobs import client; print(client.Jobs(sys.argv[1]).wait(sys.argv[2]).state)"
    said = subprocess.run(
        [sys.executable, "-c", script, service.home, id],
        capture_output=True,
        text=True,
        cwd=process.REPOSITORY,
    )
    assert said.stdout.strip() == "done", said.stderr


def test_stop_is_heard_within_two_seconds(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 10_000})
    until(lambda: service.get(id).fraction > 0)
    begun = time.monotonic()
    service.stop(id)
    assert service.wait(id).state == "stopped"
    assert time.monotonic() - begun < 2


def test_a_waiting_job_is_stopped_at_once_and_others_keep_their_order(service: client.Jobs) -> None:
    busy = [service.submit("count", {"steps": 10_000}) for _ in range(2)]
    until(lambda: all(service.get(id).state == "running" for id in busy))
    waiting = [service.submit("count", {"steps": 1}) for _ in range(3)]
    assert [service.get(id).ahead for id in waiting] == [0, 1, 2]
    service.stop(waiting[1])
    assert service.get(waiting[1]).state == "stopped"
    for id in busy:
        service.stop(id)
    first, last = service.wait(waiting[0]), service.wait(waiting[2])
    assert (first.state, last.state) == ("done", "done")
    assert first.started <= last.started
    assert service.get(waiting[1]).started is None


def test_a_job_that_does_not_listen_is_ended_and_the_other_unharmed(service: client.Jobs) -> None:
    deaf = service.submit("deaf", {})
    other = service.submit("count", {"steps": 10_000, "pause": 0.05})
    pid = int(
        until(lambda: (service.folder(deaf) / "pid").exists() and (service.folder(deaf) / "pid").read_text())
    )
    until(lambda: service.get(other).fraction > 0)
    attempt = service.get(other).attempt
    service.stop(deaf)
    assert service.wait(deaf).state == "stopped"
    until(lambda: not psutil.pid_exists(pid), timeout=3)
    reached = service.get(other).fraction
    until(lambda: service.get(other).fraction > reached)
    service.stop(other)
    assert service.wait(other).attempt == attempt
    assert service.history(other)


def test_the_pieces_of_a_job_end_with_it(service: client.Jobs) -> None:
    until(lambda: service.service().workers == 2)
    id = service.submit("spread", {"pieces": 2})
    seen = [service.folder(id) / f"spin{number}" for number in range(2)]
    until(lambda: all(path.exists() for path in seen))
    pids = {one.pid for one in _workers(service)}
    service.stop(id)
    assert service.wait(id).state == "stopped"
    until(lambda: (told := [path.read_text() for path in seen]) and _still(seen, told), timeout=5)
    assert {one.pid for one in _workers(service)} == pids
    assert service.wait(service.submit("count", {"steps": 1})).state == "done"


def _still(seen: list[Path], told: list[str]) -> bool:
    time.sleep(0.2)
    return [path.read_text() for path in seen] == told


def test_a_job_whose_worker_dies_before_it_begins_is_given_again(home: Path) -> None:
    jobs = started(home, workers=1)
    dead = _workers(jobs)[0]
    dead.suspend()
    id = jobs.submit("count", {"steps": 1})
    until(lambda: jobs.get(id).state == "running")
    dead.kill()
    job = jobs.wait(id)
    assert (job.state, job.attempt) == ("done", 2)


def test_a_job_that_nobody_works_on_does_not_stay_at_work(service: client.Jobs) -> None:
    service.journal.add("astray00", task="count", title="", params={"steps": 1}, dataset=None)
    service.journal.change("astray00", if_in=("queued",), state="running", started=time.time())
    assert until(lambda: service.get("astray00").over)
    service.forget("astray00")


def test_words_for_the_user_are_shown_as_they_are(service: client.Jobs) -> None:
    job = service.wait(service.submit("mendable", {}))
    assert job.state == "failed"
    assert job.error == "Found 1 time point, expected at least 2: choose another time column."


def test_any_other_error_gets_a_number_that_the_log_of_the_server_knows(service: client.Jobs) -> None:
    job = service.wait(service.submit("odd", {}))
    number = re.fullmatch(r"Something unexpected went wrong \(error ([0-9A-F]{8})\)\. .*", job.error).group(1)
    assert "secret" not in job.error
    assert number in service.log(job.id)
    for untold in ("secret inner detail", "Traceback", str(process.REPOSITORY)):
        assert untold not in service.log(job.id)
    story = (service.home / process.LOG).read_text().partition(number)[2]
    assert "ValueError: secret inner detail" in story


def test_the_story_of_a_file_that_ends_its_reader_is_in_the_log_of_the_server(service: client.Jobs) -> None:
    job = service.wait(service.submit("unreadable", {}))
    number = re.search(r"more under ([0-9a-f]+)", job.error)[1]
    assert "no good" not in job.error + service.log(job.id)
    assert str(process.REPOSITORY) not in service.log(job.id)
    assert "no good" in (service.home / process.LOG).read_text().partition(number)[2]


def test_the_log_of_the_service_is_json_where_that_is_asked_for(home: Path, monkeypatch) -> None:
    monkeypatch.setenv("DRIFTSCOPE_LOG", "json")
    jobs = started(home, workers=1)
    jobs.wait(jobs.submit("suicide", {}))  # of which Dask has something to say, too
    job = jobs.wait(jobs.submit("odd", {}))
    said = [json.loads(line) for line in (home / process.LOG).read_text().splitlines()]
    found = [one for one in said if one.get("error") and one["error"] in job.error]
    assert "ValueError: secret inner detail" in found[0]["story"]
    assert found[0]["level"] == "error"


def test_log_and_figures_hold_what_was_said(service: client.Jobs) -> None:
    id = service.submit("talk", {})
    service.wait(id)
    assert "said by the product" in service.log(id)
    assert "UserWarning: take care" in service.log(id)
    assert str(process.REPOSITORY) not in service.log(id)
    assert "said by others" not in service.log(id)
    assert service.history(id) == [{"loss": None, "step": 1}]


@pytest.mark.parametrize("fatal", ["suicide", "lost"])
def test_the_next_job_runs_after_a_fatal_one(service: client.Jobs, fatal: str) -> None:
    job = service.wait(service.submit(fatal, {}))
    assert job.state == "failed"
    words = {"suicide": "worker process of this job ended unexpectedly", "lost": "Something unexpected"}
    assert words[fatal] in job.error
    assert service.wait(service.submit("count", {"steps": 1})).state == "done"


def test_a_killed_worker_fails_its_job_which_goes_on_from_its_checkpoint(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 60, "pause": 0.03})
    checkpoint = service.folder(id) / "checkpoint.txt"
    until(lambda: checkpoint.exists() and int(checkpoint.read_text()) > 20)
    started_on = [one for one in _workers(service) if _has_open(one, service.folder(id) / "log.txt")]
    os.kill(started_on[0].pid, signal.SIGKILL)
    job = service.wait(id)
    assert job.state == "failed"
    assert "Resume it to go on from its last checkpoint." in job.error
    service.resume(id)
    job = service.wait(id)
    assert job.state == "done"
    assert job.result["begun"] > 20
    steps = [one["step"] for one in service.history(id)]
    assert steps == sorted(set(steps))


def test_resume_refuses_what_is_done(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 1})
    service.wait(id)
    with pytest.raises(JobError, match="is done"):
        service.resume(id)


def test_unknown_tasks_are_refused_with_the_known_ones(service: client.Jobs) -> None:
    with pytest.raises(JobError, match="known are count, deaf"):
        service.submit("os:system", {})


def test_a_second_service_refuses_to_start(service: client.Jobs) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "jobs", "--home", service.home],
        capture_output=True,
        text=True,
        cwd=process.REPOSITORY,
    )
    assert second.returncode == 2
    assert f"error: A job service runs already for {service.home}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_finished_job_can_be_forgotten(service: client.Jobs) -> None:
    id = service.submit("count", {"steps": 1})
    service.wait(id)
    service.forget(id)
    assert not service.folder(id).exists()
    with pytest.raises(JobError, match="not in the list any more"):
        service.get(id)


def test_a_killed_service_leaves_no_worker_and_the_next_goes_on(home: Path) -> None:
    jobs = started(home)
    id = jobs.submit("count", {"steps": 100, "pause": 0.03})
    other = jobs.submit("deaf", {})
    checkpoint = jobs.folder(id) / "checkpoint.txt"
    until(lambda: checkpoint.exists() and int(checkpoint.read_text()) > 20 and jobs.get(other).fraction)
    workers = _workers(jobs)
    os.kill(jobs.service().pid, signal.SIGKILL)
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers))
    until(lambda: jobs.service().message == "The job service is not running.")
    confirmed = int(checkpoint.read_text())
    assert jobs.get(id).state == "running"
    started(home)
    job = jobs.wait(id)
    assert job.state == "done"
    assert job.attempt == 2
    assert job.result["begun"] >= confirmed
    assert jobs.get(other).state == "interrupted"
    assert "Resume it to go on" in jobs.get(other).error


def test_an_ended_service_interrupts_its_jobs_and_leaves_no_child(home: Path) -> None:
    jobs = started(home, workers=1)
    id = jobs.submit("count", {"steps": 10_000})
    until(lambda: jobs.get(id).fraction > 0)
    family = psutil.Process(jobs.service().pid).children(recursive=True)
    client.stop_service(home)
    assert jobs.get(id).state == "interrupted"
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_a_job_over_memory_is_ended_with_the_limit_in_its_words(home: Path) -> None:
    jobs = started(home, "--memory", "0.4", workers=2)
    other = jobs.submit("count", {"steps": 60, "pause": 0.05})
    job = jobs.wait(jobs.submit("hungry", {}))
    assert job.state == "failed"
    assert re.search(r"ran out of memory \(limit 0.4 GB, it held about 0?\.[3-9]\d? GB", job.error), job.error
    assert jobs.wait(other).state == "done"


def test_a_job_that_asks_for_too_much_at_once_is_told_so_and_its_worker_lives(home: Path) -> None:
    jobs = started(home, "--memory", "0.4", workers=1)
    pid = _workers(jobs)[0].pid
    job = jobs.wait(jobs.submit("gulp", {}))
    assert job.state == "failed"
    assert re.search(r"limit 0.4 GB, it held about .* GB, and asked for 74.5 GiB more\)", job.error), (
        job.error
    )
    assert jobs.wait(jobs.submit("count", {"steps": 1})).state == "done"
    assert _workers(jobs)[0].pid == pid
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) > 0


def test_a_service_that_nobody_needs_ends(home: Path) -> None:
    jobs = started(home, "--idle", "0.5", workers=1)
    until(lambda: jobs.service().message == "The job service is not running.")


def test_a_service_whose_home_is_taken_away_ends(home: Path) -> None:
    jobs = started(home / "place", workers=1)
    service = psutil.Process(jobs.service().pid)
    shutil.rmtree(home / "place", ignore_errors=True)
    until(lambda: not service.is_running() or service.status() == psutil.STATUS_ZOMBIE)


def test_presence_keeps_the_service_and_starts_it_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BEAT_S", 0.1)
    with client.Presence(home, options=("--no-warm", "--workers", "1", "--idle", "1")) as jobs:
        first = until(lambda: jobs.service().workers and jobs.service().pid)
        os.kill(first, signal.SIGKILL)
        second = until(
            lambda: jobs.service().workers and jobs.service().pid not in (None, first) and jobs.service().pid
        )
        assert second != first
        with client.Presence(home) as another:  # a second server on the same home
            assert another.service().pid == second
        assert jobs.service().pid == second
    until(lambda: not jobs.service().alive)


def _workers(jobs: client.Jobs) -> list[psutil.Process]:
    family = psutil.Process(jobs.service().pid).children(recursive=True)
    return [one for one in family if "spawn_main" in " ".join(one.cmdline())]


def _has_open(one: psutil.Process, path: Path) -> bool:
    return any(Path(file.path) == path for file in one.open_files())
