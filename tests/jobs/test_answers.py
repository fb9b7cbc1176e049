"""What a child says is taken as text from a stranger."""

import io
import json

import pytest

from dynamics.errors import FileError
from jobs import answers

REPORT = {"n_cells": 1, "n_genes": 2, "roles": {}, "values": "counts", "findings": [], "protection": {}}


def test_lines_come_one_by_one():
    assert list(answers.lines(io.BytesIO(b"a\nb\n"))) == [b"a\n", b"b\n"]


@pytest.mark.parametrize(
    "said", [b"x" * (answers.LONGEST_LINE + 10), (b"x" * 10**6 + b"\n") * 40, b"no end"], ids=["a", "b", "c"]
)
def test_what_is_too_long_is_the_last(said):
    *kept, last = answers.lines(io.BytesIO(said))
    assert last is None
    assert sum(map(len, kept)) <= answers.MOST_BYTES


@pytest.mark.parametrize("line", [b"", b"no", b"[1]", b'"x"', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_answer_says_nothing(line):
    assert answers.parsed(line) == {}


@pytest.mark.parametrize("fraction", ["x", None, [1], float("nan"), float("inf"), True])
def test_a_step_that_makes_no_sense_changes_nothing(fraction):
    share, message = answers.step({"fraction": fraction, "message": 5}, 0.25, "before")
    assert 0 <= share <= 1
    assert message == "before"


def test_a_step_is_bounded():
    share, message = answers.step({"fraction": 7, "message": "m" * 10**6 + "\ud800"}, 0.0, "")
    assert share == 1
    assert len(message) == answers.LONGEST_MESSAGE


def test_a_report_is_kept_as_it_is():
    finding = {"level": "note", "code": "a", "message": "b", "fix": "c"}
    assert answers.report(REPORT | {"findings": [finding]}) == REPORT | {"findings": [finding]}


@pytest.mark.parametrize(
    "found", [None, [], {}, REPORT | {"n_cells": "many"}, REPORT | {"findings": {}}, REPORT | {"roles": []}]
)
def test_another_form_is_refused(found):
    with pytest.raises(FileError, match="makes no sense"):
        answers.report(found)


def test_texts_of_a_report_can_be_shown_and_are_short():
    many = [{"message": "m\ud800" * 5000}] * 10_000
    found = answers.report(REPORT | {"findings": many, "roles": {"time_key": "a\udc80"}})
    assert len(found["findings"]) == answers.MOST_FINDINGS + 1
    assert len(found["findings"][0]["message"]) <= answers.LONGEST_TEXT
    json.dumps(found, ensure_ascii=False).encode("utf-8")


def test_many_findings_are_counted():
    many = [{"level": "note", "code": "a", "message": f"{k}", "fix": ""} for k in range(350)]
    kept = answers.shortened({"report": REPORT | {"findings": many}})["report"]["findings"]
    assert kept[:200] == many[:200]
    assert "150 more" in kept[200]["message"]
