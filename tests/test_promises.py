"""The table of promises names tests, scripts and sections of results that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "docs" / "promises.md").read_text()


def test_every_promise_has_a_row_with_a_test():
    rows = re.findall(r"^\| (\d+) \|(.*)$", TABLE, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 19))
    assert all("::" in row or "tests/" in row for _, row in rows)


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TABLE)
    assert len(named) >= 18
    for path, name in named:
        assert (ROOT / path).is_file(), path
        if name:
            functions = ast.walk(ast.parse((ROOT / path).read_text()))
            assert name in {one.name for one in functions if isinstance(one, ast.FunctionDef)}, (path, name)


def test_every_command_and_section_of_results_is_there():
    for script in re.findall(r"benchmarks/(\w+)\.py", TABLE):
        assert (ROOT / "benchmarks" / f"{script}.py").is_file(), script
    headings = re.findall(r"^## (.+)$", (ROOT / "benchmarks" / "RESULTS.md").read_text(), re.M)
    for section in re.findall(r"“([^”]+)” in \[RESULTS", TABLE):
        assert section in headings, section
