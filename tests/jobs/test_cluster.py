"""The workers as the service sees them."""

from pathlib import Path

import pytest

from jobs.cluster import Cluster


def test_no_worker_is_overlooked_when_the_clients_own_timer_comes_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, scheduler=None, workers=1)
    try:
        looked = cluster.client._update_scheduler_info
        monkeypatch.setattr(cluster.client, "_update_scheduler_info", lambda n_workers=0: looked(n_workers=0))
        assert cluster.client.scheduler_info()["workers"] == {}
        assert len(cluster.workers()) == 1
    finally:
        cluster.close()


def test_without_a_connection_there_are_no_workers(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, scheduler=None, workers=1)
    cluster.close()
    assert not cluster.connected
    assert cluster.workers() == set()
