"""The genes of the two phases of division, by symbol and by Ensembl identifier, for human and mouse.

The symbols are the 97 of the list that Seurat and scanpy use (43 of S, 54 of G2/M), under their present
names; mouse symbols differ in case only. The identifiers are those of Ensembl; the mouse ones are the
one-to-one orthologues (40 and 49).

References
----------
Tirosh et al., Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq, Science
2016. Harrison et al., Ensembl 2024, Nucleic Acids Research 2024 (identifiers and orthologues).
"""

import re
from typing import TYPE_CHECKING

import numpy as np

from dynamics.growth_genes import FORMER_NAMES, G2M_PHASE, S_PHASE
from dynamics.tables import ID_COLUMNS, SYMBOL_COLUMNS

if TYPE_CHECKING:
    from anndata import AnnData

_NUMBERS = {  # of "ENSG00000000000" and "ENSMUSG00000000000"
    "S": (
        """
        100297 132646 176890 168496 73111 104738 167325 76248 131153 76003 144354 143476 198056 276043
        151725 119969 49541 117748 132780 111247 112312 92470 163950 175305 12963 77514 95002 156802
        51180 171848 93009 94804 174371 75131 136982 197299 118412 162607 92853 101868 159259 136492
        129173
        """,
        """
        23104 27323 2870 32397 26355 29591 30726 27242 42489 28 17499 24151 5410 6678 22673 30346 6715
        28884 28282 25001 46179 31821 27342 28693 34329 22422 37474 55612 31629 22945 28560 4642 30978
        24742 20649 39748 28212 25747 30528 1228
        """,
    ),
    "G2/M": (
        """
        164104 170312 137804 175063 89685 88325 131747 80986 123975 143228 173207 148773 120802 117724
        13810 129195 113810 157456 169607 136108 178999 169679 138160 143401 188229 75218 138182 123485
        111665 189159 117399 112742 158402 142945 100401 10292 126787 184661 134690 114346 137807 72571
        87586 134222 11426 143815 175216 138778 102974 117650 92140 139354 94916 115163
        """,
        """
        38252 36777 20330 22385 24056 27496 27469 17716 35293 9575 22391 5698 23505 38379 34349 27699
        29177 6398 26622 26605 19961 62248 37544 20808 20914 68744 28873 37725 32254 12443 24795 45328
        74802 28678 26683 15749 4880 32218 44201 54717 48327 27379 19942 1403 40549 20897 48922 36752
        31004
        """,
    ),
}
SYMBOLS = {"S": S_PHASE, "G2/M": G2M_PHASE}
"""Phase → symbols, in upper case; the human identifiers stand in the same order."""
IDENTIFIERS = {
    phase: tuple(
        f"{prefix}{int(number):011d}"
        for prefix, numbers in zip(("ENSG", "ENSMUSG"), both, strict=True)
        for number in numbers.split()
    )
    for phase, both in _NUMBERS.items()
}
"""Phase → identifiers, human ones first."""
_VERSION = re.compile(r"\.\d+$")


def phase_columns(adata: "AnnData") -> dict[str, np.ndarray]:
    """Return the columns of a data set that hold the genes of each phase, as {"S": (n,), "G2/M": (m,)} int64.

    Names count in upper case, with or without the version of an identifier, from the index or the column of
    `var` that knows most of them; a gene under its former name counts as well. Of genes named twice the first
    column is taken.
    """
    wanted = {phase: _all_names(phase) for phase in SYMBOLS}
    known = frozenset().union(*wanted.values())
    tables = [
        adata.var_names,
        *(adata.var[key] for key in (*SYMBOL_COLUMNS, *ID_COLUMNS) if key in adata.var),
    ]
    names = max((_plain(table) for table in tables), key=lambda one: len(known.intersection(one)))
    place = {name: k for k, name in reversed(list(enumerate(names)))}
    return {
        phase: np.array(sorted(place[name] for name in genes if name in place), dtype=np.int64)
        for phase, genes in wanted.items()
    }


def _all_names(phase: str) -> frozenset[str]:
    former = (FORMER_NAMES[gene] for gene in SYMBOLS[phase] if gene in FORMER_NAMES)
    return frozenset((*SYMBOLS[phase], *former, *IDENTIFIERS[phase]))


def _plain(names: object) -> list[str]:
    return [_VERSION.sub("", str(name).strip().upper()) for name in names]
