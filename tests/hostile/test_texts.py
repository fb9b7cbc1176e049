"""Small texts that people send: gene sets, lists of genes, terminal states. Read, or refused in words."""

import json
import random
import time

import numpy as np
import pandas as pd
import pytest

from dynamics import gene_sets, terminal
from dynamics.errors import DynamicsError
from dynamics.snapshots import from_arrays

GMT = {
    "a pickle": b"\x80\x04\x95\x10\x00.",
    "an h5ad": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a zip": b"PK\x03\x04" + bytes(100),
    "UTF-16": "A\tx\tSox2\n".encode("utf-16"),
    "not UTF-8": b"A\tx\t\xff\n",
    "NUL": b"A\tx\tSox2\0\n",
    "one long line": b"A\tx\t" + b"g\t" * 2_000_000,
    "many lines": b"A\tx\tSox2\n" * 400_000,
    "many tabs": b"\t" * 4_000_000,
    "too large": b"A" * 6_000_000,
    "a name of 1 MB": b"n" * 1_000_000 + b"\tx\tSox2\n",
    "nothing": b"",
    "a mark alone": b"\xef\xbb\xbf",
    "line ends of all kinds": "A\tx\tSox2\u2028B\tx\tPax6\x85C\tx\tGata1\x1cD\tx\tY\r".encode(),
    "formulas": b"=1+1\t=cmd|' /C calc'!A0\t=Sox2\n",
    "markup": b"<script>\t![](http://host/p.png)\tSox2\n",
}


def outcome(name):
    try:
        return gene_sets.parse_gmt(GMT[name])
    except DynamicsError as said:
        return said


@pytest.mark.parametrize("name", GMT)
def test_gene_sets_are_read_or_refused_soon(name):
    began = time.process_time()
    found = outcome(name)
    if isinstance(found, DynamicsError):
        assert str(found).endswith(".")
        assert len(str(found)) < 2_500
    else:
        assert 0 < len(found.sets) <= gene_sets.MOST_SETS
        assert all(0 < len(genes) <= gene_sets.MOST_GENES for genes in found.sets.values())
        assert all(0 < len(set_name) <= gene_sets.LONGEST_NAME for set_name in found.sets)
    assert time.process_time() - began < 5


def test_lists_of_genes_are_read_or_refused_soon():
    known = gene_sets.names_of(pd.DataFrame(index=[f"Gene{k}" for k in range(2_000)]))
    for text in ("", " ," * 100_000, "x" * 500_000, "__class__", "Gene1\0Gene2", "\ud800", "g " * 300_000):
        began = time.process_time()
        names = gene_sets.parse_list(text)
        assert gene_sets.find(names, known).columns in ((), (1,))
        assert time.process_time() - began < 5
    with pytest.raises(DynamicsError, match="at most 10,000"):
        gene_sets.parse_list(" ".join(map(str, range(10_001))))


ODD = (None, True, -1, 10**30, 1.5, float("nan"), "x", "__class__", "", [], [[]], {}, {"a": 1}, ["0", "1"])


def test_terminal_states_of_any_kind_are_read_or_refused():
    rng = random.Random(0)
    shots = from_arrays(np.random.default_rng(0).standard_normal((30, 2)), np.repeat([0.0, 1.0, 2.0], 10))
    codes = np.full(30, -1)
    codes[20:25], codes[25:] = 0, 1
    sound = terminal.to_json(terminal.from_codes(codes, ["a", "b"], source=terminal.BY_HAND), shots)
    assert terminal.from_json(sound, shots).names == ("a", "b")
    n_refused = 0
    for path in paths(sound):
        for odd in ODD:
            changed = json.loads(json.dumps(sound))
            put(changed, path, odd)
            try:
                found = terminal.from_json(changed, shots)
            except DynamicsError:
                n_refused += 1
            else:
                assert len(found.codes) == 30
    assert n_refused > 20
    with pytest.raises(DynamicsError):
        terminal.from_json(rng.choice(({}, {"states": "x"}, {"states": [{}]})), shots)


def paths(value, before=()):
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*before, key)
        yield from paths(item, (*before, key))


def put(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new
