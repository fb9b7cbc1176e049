"""The kinds of work that a job can be, by name; their bodies are loaded on the worker only."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dynamics.errors import JobError

MODULE_VARIABLE = "DRIFTSCOPE_TASKS"


@dataclass(frozen=True)
class Task:
    """A kind of work.

    Attributes
    ----------
    target
        Where its body is, "module:function"; called on the worker as
        `function(params=…, folder=…, progress=…) -> dict`.
    title
        What a job is called when nobody names it.
    resumable
        Goes on from its checkpoint; resumed by itself, once, when the service went away during the work.
    """

    target: str
    title: str
    resumable: bool = False


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "ingest": Task("jobs.work:ingest", "Open a file"),
        "demo": Task("jobs.work:demo", "Open a demo"),
        "prepare": Task("jobs.work:prepare", "Prepare the data"),
        "train": Task("jobs.work_models:train", "Train a model", resumable=True),
        "validate": Task("jobs.work_models:validate", "Test on held-out times"),
        "assume": Task("jobs.work_models:assume", "See what the snapshots leave open"),
        "fates": Task("jobs.work_fates:fates", "Tell the fates of all cells"),
        "screen": Task("jobs.work_perturb:screen_genes", "Screen genes"),
        "regulation": Task("jobs.work_regulation:regulation", "Rank candidate regulators"),
        "simulate": Task("jobs.work_models:simulate", "Predict cells"),
        "annotate": Task("jobs.work_models:annotate", "Write results into the data"),
    }
)


def known() -> Mapping[str, Task]:
    """Return the tasks of this installation: `TASKS`, or those of the module in `$DRIFTSCOPE_TASKS`."""
    module = os.environ.get(MODULE_VARIABLE)
    return importlib.import_module(module).TASKS if module else TASKS


def find(name: str) -> Task:
    """Return a task by its name.

    Raises
    ------
    JobError
        There is no such task; the message lists the known ones.
    """
    tasks = known()
    if name not in tasks:
        raise JobError(f"There is no task called “{name}”; known are {', '.join(sorted(tasks))}.")
    return tasks[name]
