"""What leaves the app: tables, saved pages, names of files, lines on a terminal and in a log."""

import ast
import io
import json
import logging
import re
import sys
from argparse import Namespace
from pathlib import Path

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from commands import terminal
from dynamics.printable import printable, visible
from tests.hostile.names import FILE_NAMES, NAMES
from ui import logbook, saving, shelf, theme

ROOT = Path(__file__).resolve().parents[2]
WRITERS = {"to_csv": {"dynamics/fate_results.py"}, "writer": {"dynamics/regulators.py"}}
FOLDERS = ("ui", "pages", "commands", "jobs", "models", "dynamics")


def calls(names):
    """Return (file, call) of every call of a method or function with such a name in the app's source."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in names:
                        yield path.relative_to(ROOT).as_posix(), node


def test_every_table_is_written_in_one_of_two_places_that_guard_it():
    found = {}
    for path, node in calls({"to_csv", "writer", "DictWriter", "to_excel", "savetxt"}):
        own = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "regulators"
        if not own:  # `regulators.to_csv` is one of the two
            found.setdefault(node.func.attr, set()).add(path)
    assert found == WRITERS


def test_the_table_s_own_download_which_guards_nothing_is_not_offered():
    assert 'stElementToolbar] button[aria-label^="Download"] {display: none}' in theme.STYLE


def test_the_name_of_a_download_is_ours_or_made_plain():
    n_found = 0
    for path, node in calls({"download_button"}):
        name = {one.arg: one.value for one in node.keywords}.get("file_name") or node.args[2]
        text = ast.unparse(name)
        known = isinstance(name, ast.Constant) or "_file_name(" in text
        known |= path in ("ui/saving.py", "ui/regulating.py", "ui/reporting.py", "ui/fating_views.py")
        assert known, (path, text)
        n_found += 1
    assert n_found >= 8


@pytest.mark.parametrize("name", [*NAMES, *FILE_NAMES, "", "..", "a\r\nSet-Cookie: x=y", "\x00"])
def test_a_model_s_file_name_holds_letters_only(name):
    made = shelf._file_name(name)
    assert re.fullmatch(r"[\w-]{1,80}", made)
    assert not made.startswith("-")


def test_a_saved_page_is_allowed_no_network_and_holds_no_script_of_a_name():
    figure = go.Figure(go.Scatter(y=[1], name="</script><script>window.x=1</script>"))
    page = saving.page(figure, {"displaylogo": False}).decode()
    head, body = page.split("<body>")
    assert "default-src 'none'" in head
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert "<script>window.x" not in body
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)


def test_a_terminal_gets_no_control_characters(capsys, monkeypatch):
    options = Namespace(json=None, quiet=False)
    terminal.show(options, {}, [f"  {name}" for name in NAMES])
    out = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    assert "  **strong** __under__\n" in out
    terminal.show(Namespace(json="-", quiet=False), {"names": NAMES}, [])
    told = capsys.readouterr().out
    assert told.isascii()
    assert "\x1b" not in told
    assert tuple(json.loads(told)["names"]) == NAMES
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    terminal.progress_line(options)(0.5, "\x1b[2J\nname")
    assert "\x1b[2J" not in sys.stderr.getvalue()
    assert visible("a\n\x07") == "a\n␇"


def refused():
    from dynamics.errors import DataError
    from ui import errors

    errors.show(DataError("no column 'x\n2026-01-01 ERROR forged' \x1b[31m"))


def test_a_name_forges_no_line_of_the_log(caplog):
    caplog.set_level(logging.INFO, "driftscope")
    AppTest.from_function(refused).run()
    (line,) = (
        record.getMessage() for record in caplog.records if "A page was stopped" in record.getMessage()
    )
    assert "\n" not in line
    assert "\x1b" not in line
    record = logging.LogRecord("driftscope", logging.INFO, "", 0, "a\nb %s", ("\x1b",), None)
    assert len(logbook.Lines().format(record).splitlines()) == 1
    assert printable("a\nb") == "a b"
