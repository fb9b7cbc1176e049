"""Whose turn it is: the order in which waiting jobs start, so that people alternate."""

from collections import deque
from collections.abc import Mapping, Sequence


def line(waiting: Sequence[Mapping], served: Mapping[str, int]) -> list[str]:
    """Return the ids of waiting jobs in the order in which they start.

    The person who was served longest ago comes first; one person's jobs keep their order, and what nobody
    asked for comes last.

    Parameters
    ----------
    waiting
        Rows with `id`, `owner`, `hidden`, `queued` (seconds since 1970) and `number`.
    served
        Owner → number of the turn at which a job of theirs last started; absent for never.
    """
    return [
        id
        for hidden in (0, 1)
        for id in _one_kind([row for row in waiting if row["hidden"] == hidden], served)
    ]


def _one_kind(waiting: Sequence[Mapping], served: Mapping[str, int]) -> list[str]:
    queues: dict[str, deque] = {}
    for row in sorted(waiting, key=_place):
        queues.setdefault(row["owner"], deque()).append(row)
    turns, order = dict(served), []
    while queues:
        owner = min(queues, key=lambda one: (turns.get(one, 0), _place(queues[one][0])))
        order.append(queues[owner].popleft()["id"])
        turns[owner] = max(turns.values(), default=0) + 1
        if not queues[owner]:
            del queues[owner]
    return order


def _place(row: Mapping) -> tuple[float, int]:
    return row["queued"], row["number"]
