"""Names that look like formulas are written as text, in every table, and numbers stay numbers."""

import csv
import io

import pandas as pd
import pytest

from dynamics import fate_results, regulators

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
