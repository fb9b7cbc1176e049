"""The warm-up: which worker does what, and that a job never waits for all of them."""

from jobs.warm import EXCLUSIVE, STEPS, WarmUp


def _all_steps(warm: WarmUp, workers: list[str]) -> list[tuple[str, str]]:
    done = []
    while not warm.warm:
        doing = [(one, step) for one in workers if (step := warm.next_step(one))]
        assert doing
        assert sum(step in EXCLUSIVE for _, step in doing) < max(2, len(workers))
        for one, _ in doing:
            warm.done(one)
        done += doing
    return done


def test_each_worker_does_each_step_once_and_one_is_kept_free_of_long_ones() -> None:
    for workers in (["a"], ["a", "b"], ["a", "b", "c", "d"]):
        warm = WarmUp(on=True)
        warm.follow(set(workers))
        assert not warm.warm
        assert "0 of" in warm.message()
        assert sorted(_all_steps(warm, workers)) == sorted((one, step) for one in workers for step in STEPS)
        assert warm.message() == "Ready"


def test_a_new_worker_is_warmed_and_a_deadly_step_given_up() -> None:
    warm = WarmUp(on=True)
    warm.follow({"a"})
    for gone, new in (("a", "b"), ("b", "c")):
        assert warm.next_step(gone)
        warm.follow({new})
    assert warm.warm
    assert warm.next_step("c") is None


def test_without_warm_up_workers_are_ready_at_once() -> None:
    warm = WarmUp(on=False)
    assert not warm.warm
    warm.follow({"a"})
    assert warm.warm
