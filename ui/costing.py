"""What a job will take of memory and disk, and how many wait before it, in words."""

from collections.abc import Mapping
from typing import Any

from jobs import costs
from ui import state
from ui.text import count, duration, size


def queue() -> str:
    """Say how many jobs would go before one that is started now; empty where it would start at once."""
    waiting = state.jobs().waiting()
    return f" {count(waiting, 'job')} {'waits' if waiting == 1 else 'wait'} before it." if waiting else ""


def job(task: str, params: Mapping[str, Any], *, seconds: float | None = None) -> str:
    """Say what a job that opens or prepares a file takes: time, memory and disk."""
    home = state.store().home
    needs = f"up to {size(_two(costs.held(home, task, params)))} of memory and "
    needs += f"{size(_two(costs.written(home, task, params)))} of disk"
    time = "" if seconds is None else f"about {duration(seconds)}, "
    return f"Takes {time}{needs}.{queue()}"


def too_large(task: str, params: Mapping[str, Any]) -> str:
    """Say why a job that opens or prepares a file would run out of memory; empty if it would not."""
    limit, needed = state.jobs().service().memory_gb, costs.held(state.store().home, task, params)
    if limit is None or needed <= limit * 1e9:
        return ""
    return (
        f"This needs up to {size(_two(needed))} of memory; a worker here has {limit:.1f} GB, so it may fail. "
        "Fewer cells or genes, or a machine with more memory, would do."
    )


def _two(n_bytes: int) -> int:
    return int(float(f"{n_bytes:.2g}"))
