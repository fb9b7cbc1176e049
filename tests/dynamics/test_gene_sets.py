"""Gene sets: pasted, as a file, and scored."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics.errors import DataError
from dynamics.gene_sets import MOST_BYTES, find, names_of, parse_gmt, parse_list, score, shown_names

VAR = pd.DataFrame({"gene_symbols": ["Gata1", "Spi1", "Spi1", "nan"]}, index=["ENS1", "ENS2", "ENS3", "ENS4"])


def test_a_pasted_list_is_split_and_each_name_counts_once():
    assert parse_list("Gata1, SPI1;klf1\n'Gata2'\tGATA1 ") == ["Gata1", "SPI1", "klf1", "Gata2"]
    assert parse_list(" \n ") == []
    with pytest.raises(DataError, match="10,001 names"):
        parse_list(" ".join(f"g{k}" for k in range(10_001)))


def test_genes_are_found_by_symbol_or_identifier_whatever_the_case():
    found = find(["gata1", "ens4", "ENS1", "Gata7", "zzz"], names_of(VAR))
    assert found.columns == (0, 3)
    assert found.missing == ("Gata7", "zzz")
    assert dict(found.close) == {"Gata7": ("ENS1",)}
    assert list(shown_names(VAR)) == ["Gata1", "ENS2", "ENS3", "ENS4"]
    near = find(["Gapd"], names_of(pd.DataFrame(index=["Gapdh", "Actb"])))
    assert dict(near.close) == {"Gapd": ("Gapdh",)}


def test_a_gmt_file_is_read_and_bad_lines_are_named_by_number():
    text = (
        "ERY\thttp://x\tGata1\tKlf1\t\n\nbroken line\nEMPTY\tx\t\n# no\nERY\tx\tSpi1\nMYE\tx\tSpi1\tSpi1\r\n"
    )
    found = parse_gmt(text.encode())
    assert dict(found.sets) == {"ERY": ("Gata1", "Klf1"), "MYE": ("Spi1",)}
    assert [one.split(":")[0] for one in found.problems] == ["line 3", "line 4", "line 6"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\xff\xfe", "not plain text"),
        (b"a\tb\tc\0", "not plain text"),
        (b"just words\n", "line 1"),
        (b"", "no gene sets"),
        (b"x" * (MOST_BYTES + 1), "at most 5 MB"),
    ],
)
def test_files_that_are_no_gmt_are_refused(content, said):
    with pytest.raises(DataError, match=said):
        parse_gmt(content)


def cells(rng):
    """Return 300 cells × 200 genes of unequal means; in the second half the first ten are doubled."""
    mean = np.exp(rng.normal(0, 1, 200))
    values = rng.poisson(mean, (300, 200)).astype(np.float32)
    values[150:, :10] += rng.poisson(mean[:10], (150, 10))
    return np.log1p(values)


def test_a_score_rises_where_the_set_does_and_is_flat_for_other_genes(rng):
    values = cells(rng)
    own, other = score(values, range(10)), score(values, range(50, 60))
    assert own[150:].mean() - own[:150].mean() > 0.4
    assert abs(other[150:].mean() - other[:150].mean()) < 0.1
    np.testing.assert_allclose(score(sparse.csr_matrix(values), range(10)), own, atol=1e-5)
    np.testing.assert_array_equal(score(values, range(10)), own)


def test_what_all_genes_do_is_taken_off(rng):
    values = cells(rng) + np.linspace(0, 3, 300)[:, None]
    assert abs(np.corrcoef(score(values, range(60, 100)), np.arange(300))[0, 1]) < 0.3


def test_sets_that_cannot_be_scored_are_told(rng):
    values = cells(rng)
    values[:, 0] = 1
    with pytest.raises(DataError, match="No gene of this set varies"):
        score(values, [0])
    with pytest.raises(DataError, match="none is left"):
        score(values, range(200))
