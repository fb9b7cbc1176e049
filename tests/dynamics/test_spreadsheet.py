"""Names that look like formulas are written as text, in every table, and numbers stay numbers."""

import csv
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics import fate_results, regulators
from dynamics.spreadsheet import FORMULA, NUMBER, as_text
from tests.hostile.names import NAMES

HOSTILE = [
    "=1+1",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "\tx",
    "\r=1",
    "a\r=1",
    "a\n=1",
    '=HYPERLINK("http://a.example")',
    "＝1+1",
    "＠SUM(A1)",
    " =1",
    "'=1",
    '"=1"',
    "\ufeff=1",
    "\u200b=1",
    "\x00=1",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_table_holds_a_formula(name):
    expected = name if name.startswith("a") else "'" + name
    tables = (
        fate_results.csv(pd.DataFrame({name: [name], "score": [-0.5]})),
        regulators.to_csv([{"regulator": name, "score": -0.5}]),
    )
    for written in tables:
        *_, (text, score) = csv.reader(io.StringIO(written, newline=""))
        assert text == expected
        assert float(score) == -0.5
    assert next(csv.reader(io.StringIO(tables[0], newline="")))[0] == expected


def test_harmless_names_are_written_as_they_are():
    names = ["Gata1", "T cell, CD4+", "a=b", ""]
    written = fate_results.csv(pd.DataFrame({"name": names}))
    read_again = pd.read_csv(io.StringIO(written), keep_default_na=False, skip_blank_lines=False)
    assert list(read_again["name"]) == names


def test_a_negative_number_is_no_formula_in_whatever_form_it_comes():
    table = pd.DataFrame({"time": ["-1", "-0.5", "E10"], "score": [-1.5, 2.0, -3.0], "n": [-1, 2, 3]})
    written = fate_results.csv(table)
    assert "'" not in written
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(written)), table)


def test_missing_values_categories_and_columns_of_one_name_are_written():
    table = pd.DataFrame([["=a", None, 1.0], ["=b", "=c", float("nan")]], columns=["=x", "=x", "y"])
    table = table.astype({"y": float})
    table.isetitem(0, pd.Categorical(table.iloc[:, 0]))
    rows = list(csv.reader(io.StringIO(fate_results.csv(table), newline="")))
    assert rows == [["'=x", "'=x", "y"], ["'=a", "", "1"], ["'=b", "'=c", ""]]


def test_a_fate_called_as_another_column_has_a_column_of_its_own():
    fates = SimpleNamespace(names=("cell", "type", "B"), probabilities=np.array([[0.25, 0.5, 0.25]]))
    for name in ("low", "without_growth"):
        setattr(fates, name, None)
    for name in ("certainty", "reached", "unsupported"):
        setattr(fates, name, np.zeros(1))
    shots = SimpleNamespace(cells=[0], time_index=[0], axis=SimpleNamespace(name=lambda k: "day 1"))
    (row,) = fate_results.by_cell(fates, shots, ["c0"], labels=["T"]).to_dict("records")
    assert (row["cell"], row["type"]) == ("c0", "T")
    assert (row["cell (fate)"], row["type (fate)"], row["B"]) == (0.25, 0.5, 0.25)


def read_again(cell):
    """What was written, out of what a reader finds: the inverse of `as_text`."""
    acts = cell.startswith("'") and FORMULA.match(cell) and not NUMBER.fullmatch(cell)
    return cell[1:] if acts else cell


NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.one_of(st.sampled_from(NAMES), NO_SURROGATES))
@settings(max_examples=300, deadline=None)
def test_every_name_is_read_again_as_it_was(name):
    written = regulators.to_csv([{"regulator": name, "target": "end", "score": -0.5}])
    _, (text, end, score) = csv.reader(io.StringIO(written, newline=""))
    assert read_again(text) == name
    assert (end, float(score)) == ("end", -0.5)
    table = fate_results.csv(pd.DataFrame({"name": [name], "end": ["end"]}))
    _, (text, end) = csv.reader(io.StringIO(table, newline=""))
    assert (read_again(text), end) == (name, "end")
    assert not text or text[0] not in "=+@\t\r＝＋－＠"
    assert as_text(text) == text or text.startswith("'")
