"""The genes of the cell cycle are found under every name that they go by."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics.cell_cycle_genes import IDENTIFIERS, SYMBOLS, phase_columns
from dynamics.growth_genes import FORMER_NAMES

S, G2M = SYMBOLS["S"], SYMBOLS["G2/M"]
OTHERS = [f"OTHER{k}" for k in range(50)]


def columns(names, **var):
    found = phase_columns(AnnData(var=pd.DataFrame(var, index=list(names))))
    return {phase: columns.tolist() for phase, columns in found.items()}


def test_identifiers_are_distinct_and_as_many_as_the_symbols():
    everything = [*IDENTIFIERS["S"], *IDENTIFIERS["G2/M"]]
    assert len(set(everything)) == len(everything) == 97 + 40 + 49
    for phase, genes in SYMBOLS.items():
        human = [name for name in IDENTIFIERS[phase] if len(name) == 15]
        assert len(human) == len(genes)
        assert all(name.startswith("ENSG") for name in human)


@pytest.mark.parametrize(
    ("gene", "phase", "identifier"),
    [
        ("PCNA", "S", "ENSG00000132646"),
        ("MCM2", "S", "ENSG00000073111"),
        ("UHRF1", "S", "ENSG00000276043"),
        ("MKI67", "G2/M", "ENSG00000148773"),
        ("TOP2A", "G2/M", "ENSG00000131747"),
        ("CDK1", "G2/M", "ENSG00000170312"),
    ],
)
def test_known_identifiers_stand_at_their_symbols(gene, phase, identifier):
    assert IDENTIFIERS[phase][SYMBOLS[phase].index(gene)] == identifier
    assert "ENSMUSG00000027342" in IDENTIFIERS["S"]  # Pcna
    assert "ENSMUSG00000031004" in IDENTIFIERS["G2/M"]  # Mki67


FORMS = {
    "human symbols": str,
    "mouse symbols": str.capitalize,
    "former names": lambda name: FORMER_NAMES.get(name, name),
}


@pytest.mark.parametrize("form", FORMS)
def test_symbols_in_any_case_and_age_are_found(form):
    found = columns([*OTHERS, *map(FORMS[form], [*S, *G2M])])
    assert found == {"S": list(range(50, 93)), "G2/M": list(range(93, 147))}


def test_identifiers_with_and_without_version_are_found():
    names = [*IDENTIFIERS["S"], *(f"{name}.{k}" for k, name in enumerate(IDENTIFIERS["G2/M"]))]
    found = columns([*names, *OTHERS])
    assert [len(found[phase]) for phase in ("S", "G2/M")] == [83, 103]


def test_a_column_of_symbols_is_taken_where_it_knows_more():
    ids = [f"ENSDARG{k:011d}" for k in range(147)]
    assert columns(ids, gene_symbols=[*S, *G2M, *OTHERS]) == columns([*S, *G2M, *OTHERS])
    assert columns(ids, feature_name=pd.Categorical([*S, *G2M, *OTHERS])) == columns([*S, *G2M, *OTHERS])


def test_repeated_missing_and_odd_names_do_no_harm():
    assert columns(["a", "b", "c"], symbol=["PCNA", "x", "PCNA"]) == {"S": [0], "G2/M": []}
    assert columns([]) == {"S": [], "G2/M": []}
    assert columns(["1", "2"], symbol=[np.nan, 3]) == {"S": [], "G2/M": []}
