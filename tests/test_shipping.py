"""What is shipped beside the code: what ./run warns of, and the names in the Dockerfile."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_letting_others_in_is_warned_of(tmp_path):
    shutil.copy(ROOT / "run", tmp_path / "run")
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "setup").write_text("#!/bin/sh\n")  # nothing is installed here
    (tmp_path / ".ci" / "setup").chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTSCOPE_")}

    def told(*words):
        words = ["./run", "--install-only", "--host", *words]
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stderr

    assert "--shared gives each their own" in told("0.0.0.0")
    assert not told("0.0.0.0", "--shared")
    assert not told("127.0.0.1")


def test_what_the_dockerfile_names_is_there():
    text = (ROOT / "Dockerfile").read_text()
    left_out = (ROOT / ".dockerignore").read_text().split()
    for words in re.findall(r"^COPY (?:--\S+ )*(.+)$", text, re.M):
        for name in words.split()[:-1]:
            assert (ROOT / name).exists()
            assert name not in left_out
    assert os.access(ROOT / "run", os.X_OK)
    options = set(re.findall(r"--(?:shared|host|no-browser|install-only)", text))
    assert options
    assert all(option in (ROOT / "run").read_text() for option in options)
    assert ".streamlit/secrets.toml" in left_out


def test_every_setting_in_the_manual_is_read_somewhere():
    code = "".join(path.read_text() for folder in ("ui", "jobs") for path in (ROOT / folder).rglob("*.py"))
    code += (ROOT / "run").read_text()
    for name in set(re.findall(r"DRIFTSCOPE_[A-Z_]+", (ROOT / "docs" / "administration.md").read_text())):
        stem = name.removesuffix("_FILE")
        assert stem in code, name
