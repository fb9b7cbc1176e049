"""The workers as the service sees them."""

from pathlib import Path

from jobs.cluster import Cluster


def test_no_worker_is_overlooked_while_the_client_looks_after_itself(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, scheduler=None, workers=1)
    try:
        seen = set()
        for _ in range(200):
            cluster.client.loop.add_callback(cluster.client._update_scheduler_info)  # as its timer does
            seen.add(len(cluster.workers() or "?"))
        assert seen == {1}
    finally:
        cluster.close()


def test_without_a_connection_there_are_no_workers(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, scheduler=None, workers=1)
    cluster.close()
    assert not cluster.connected
    assert cluster.workers() == set()
