"""No line of the source executes what stands in a file; and the scan that says so can fail."""

from pathlib import Path

import pytest
from source_scan import found_in

from jobs import tasks

ROOT = Path(__file__).resolve().parents[2]
SCANNED = ("app.py", "cli.py", "commands", "pages", "ui", "jobs", "models", "dynamics", "benchmarks")
FILES = [
    path
    for name in SCANNED
    for path in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
]

BAD = (
    "import pickle",
    "from pickle import loads",
    "import cloudpickle as c",
    "import joblib",
    "import yaml",
    "import marshal",
    "import shelve, os",
    "import runpy",
    "import streamlit.components.v1 as components",
    "from streamlit.components.v1 import html",
    "import subprocess",
    "import ctypes",
    "eval(text)",
    "exec(text)",
    "compile(text, '', 'exec')",
    "__import__(name)",
    "import importlib\nimportlib.import_module(name)",
    "from importlib import import_module as get\nget(name)",
    "import torch\ntorch.load(path)",
    "import torch as t\nt.load(path, weights_only=True)",
    "from torch import load as fetch\nfetch(path)",
    "import torch\ntorch.jit.load(path)",
    "import numpy as np\nnp.load(path)",
    "from numpy import load\nload(path, allow_pickle=True)",
    "anything(path, allow_pickle=True)",
    "anything(path, allow_pickle=given)",
    "anything(path, weights_only=False)",
    "import pandas as pd\npd.read_pickle(path)",
    "import pandas\npandas.eval(text)",
    "frame.to_pickle(path)",
    "frame.eval('a + b')",
    "frame.query(f'a > {text}')",
    "import os\nos.system(text)",
    "from os import popen\npopen(text)",
    "import os\nos.execv(path, [])",
    "run(text, shell=True)",
    "st.markdown(text, unsafe_allow_html=True)",
    "st.html(text, unsafe_allow_javascript=True)",
    "x.__class__.__subclasses__()",
    "class A:\n    def __reduce__(self): ...",
)
VARIABLE = (tasks.MODULE_VARIABLE, "MODULE_VARIABLE")
GOOD = (
    "import re\nre.compile('a')",
    "net.eval()",
    "tree.query(points, k=3)",
    "import json\njson.loads(text)",
    "load(path, allow_pickle=False)",
    "from safe import load\nload(path, weights_only=True)",
    "st.markdown(text, unsafe_allow_html=False)",
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_from_a_file_is_executed(path):
    assert found_in(path.read_text(), path.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize("source", BAD)
def test_the_scan_finds_what_it_looks_for(source):
    assert found_in(source, "ui/some.py")


@pytest.mark.parametrize("source", GOOD)
def test_the_scan_lets_go_what_is_harmless(source):
    assert found_in(source, "ui/some.py") == []


def test_every_part_of_the_app_is_scanned():
    assert len(FILES) > 200
    here = [*ROOT.glob("*.py"), *(path for path in ROOT.glob("*/") if [*path.rglob("*.py")])]
    assert {path.name for path in here if not path.name.startswith(".")} <= {*SCANNED, "tests"}


def test_what_a_job_does_is_chosen_from_the_code_only():
    """Whatever is asked for: the bodies of jobs come from the table of tasks in the code."""
    for name in ("os:system", "jobs.work:ingest", "../train", "__class__", "TASKS", "", "train\0"):
        with pytest.raises(Exception, match="no task called"):
            tasks.find(name)
    for task in tasks.TASKS.values():
        module, _, function = task.target.partition(":")
        assert module.startswith("jobs.work")
        assert function.isidentifier()
    written = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if "benchmarks" not in path.parts and any(word in path.read_text() for word in VARIABLE)
    ]
    assert written == ["jobs/tasks.py"], "no page, command or route sets where tasks come from"
