"""Gene sets: a pasted list or a GMT file, and one score for each cell."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from dynamics.errors import DataError
from dynamics.tables import ID_COLUMNS, SYMBOL_COLUMNS

MOST_BYTES = 5_000_000
MOST_SETS = 5_000
MOST_GENES = 10_000
LONGEST_NAME = 200
NAMED = 5
"""Malformed lines and close names that are told."""

BINS = 25
CONTROLS = 50
"""Control genes drawn for each gene of a set, from those of like mean."""

NOT_TEXT = "The gene sets are not plain text (UTF-8). Save them as GMT, not as a spreadsheet."

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray


@dataclass(frozen=True)
class Found:
    """Genes of a list that a data set has.

    Attributes
    ----------
    columns
        Places of the genes in the data set, each once, in the order of the list.
    missing
        Names that the data set does not have, as they were given.
    close
        For some of these, names of the data set that are spelled alike.
    """

    columns: tuple[int, ...]
    missing: tuple[str, ...] = ()
    close: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Library:
    """The gene sets of a GMT file.

    Attributes
    ----------
    sets
        Genes of each set by its name.
    problems
        What was wrong with lines that were left out, by number.
    """

    sets: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()


def parse_list(text: str) -> list[str]:
    """Read names of genes that stand apart by commas, semicolons, blanks or line breaks; each once.

    Raises
    ------
    DataError
        More than 10,000 names.
    """
    words = (word.strip("\"'") for word in re.split(r"[\s,;]+", text.lstrip("\ufeff")))
    first: dict[str, str] = {}
    for word in filter(None, words):
        first.setdefault(word.lower(), word)
    names = list(first.values())
    if len(names) > MOST_GENES:
        raise DataError(f"The list has {len(names):,} names; at most {MOST_GENES:,} are taken. Shorten it.")
    return names


def names_of(var: pd.DataFrame) -> list[np.ndarray]:
    """Return what genes are called: the index first, then symbols and identifiers, (n_genes,) text each."""
    columns = [name for name in (*SYMBOL_COLUMNS, *ID_COLUMNS) if name in var]
    return [var.index.to_numpy(str), *(var[name].astype(str).to_numpy(str) for name in columns)]


def shown_names(var: pd.DataFrame) -> np.ndarray:
    """Return the name that people use for each gene, (n_genes,): its symbol where there is one."""
    own = var.index.to_numpy(str)
    for column in SYMBOL_COLUMNS:
        if column in var:
            symbol = var[column].astype(str).to_numpy(str)
            empty = np.isin(np.char.lower(symbol), ["", "nan", "none"])
            again = pd.Series(symbol).duplicated(keep=False).to_numpy()
            return np.where(empty | again, own, symbol)
    return own


def find(names: Sequence[str], known: Sequence[np.ndarray]) -> Found:
    """Look genes up whatever their case; for those that are missing, propose close names.

    Parameters
    ----------
    known
        What the genes of the data set are called, see `names_of`; the first that fits counts.
    """
    places: dict[str, int] = {}
    for called in known:
        for place, name in enumerate(called):
            places.setdefault(str(name).lower(), place)
    missing = [name for name in names if name.lower() not in places]
    close = {name: _close(name, places, known) for name in missing[:NAMED]}
    columns = dict.fromkeys(places[name.lower()] for name in names if name.lower() in places)
    return Found(tuple(columns), tuple(missing), {name: near for name, near in close.items() if near})


def parse_gmt(content: bytes) -> Library:
    """Read gene sets from a GMT file: a line for each, with name, description and genes apart by tabs.

    Raises
    ------
    DataError
        The file is larger than 5 MB, is not plain text, or has no line with a set; the message says which.

    References
    ----------
    Subramanian et al., Gene set enrichment analysis, PNAS 2005 (the format is that of MSigDB).
    """
    text = _text(content)
    sets, problems = {}, []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, genes, problem = _line(line)
        if problem or name in sets:
            problems.append(f"line {number}: {problem or 'a set of this name came before'}")
        elif len(sets) == MOST_SETS:
            problems.append(f"line {number} and after: more than {MOST_SETS:,} sets")
            break
        else:
            sets[name] = genes
    if not sets:
        told = f" {'; '.join(problems[:NAMED])}." if problems else ""
        raise DataError(
            "The file has no gene sets. Expected is GMT: lines of a name, a description and genes, with tabs "
            f"between.{told}"
        )
    return Library(sets, tuple(problems))


def score(expression: Matrix, columns: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """Return how much more of a gene set each cell makes than of control genes of like mean, (n,).

    Mean z-score of the genes of the set less the mean z-score of control genes: for each gene of the set 50
    others from the same of 25 groups by mean expression (all there are, where they are fewer).

    Parameters
    ----------
    expression : (n, n_genes)
        On the log scale; dense or sparse.
    columns
        Genes of the set; those that do not vary do not count.

    Raises
    ------
    DataError
        No gene of the set varies, or none is left for controls.

    References
    ----------
    Tirosh et al., Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq,
    Science 2016; Satija et al., Spatial reconstruction of single-cell gene expression data, Nature
    Biotechnology 2015.
    """
    mean, spread = _moments(expression)
    varies = spread > 0
    own = np.array([k for k in dict.fromkeys(columns) if varies[k]], np.int64)
    if not len(own):
        raise DataError("No gene of this set varies among these cells, so there is nothing to score.")
    others = np.setdiff1d(np.flatnonzero(varies), own)
    if not len(others):
        raise DataError("All genes that vary are in this set, so none is left to compare it with.")
    controls = _controls(mean, own, others, rng=np.random.default_rng(seed))
    return _mean_z(expression, own, mean=mean, spread=spread) - _mean_z(
        expression, controls, mean=mean, spread=spread
    )


def _controls(
    mean: np.ndarray, own: np.ndarray, others: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """Draw control genes for each gene of a set from the others that are nearest in the order of means."""
    order = others[np.argsort(mean[others], kind="stable")]
    width = max(CONTROLS, len(order) // BINS)
    picked = []
    for k in own:
        middle = int(np.searchsorted(mean[order], mean[k]))
        first = int(np.clip(middle - width // 2, 0, max(len(order) - width, 0)))
        near = order[first : first + width]
        picked.append(rng.choice(near, min(CONTROLS, len(near)), replace=False))
    return np.unique(np.concatenate(picked))


def _moments(expression: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each gene, (n_genes,) each; 0 for a gene that does not vary."""
    n = expression.shape[0]
    total = np.asarray(expression.sum(axis=0, dtype=np.float64)).ravel() / n
    if sparse.issparse(expression):
        square = np.asarray(expression.astype(np.float64).power(2).sum(axis=0)).ravel() / n
    else:
        square = np.einsum("ng,ng->g", expression, expression, dtype=np.float64) / n
    variance = square - total**2
    return total, np.sqrt(np.where(variance > 1e-10 * np.maximum(square, 1e-12), variance, 0))


def _mean_z(expression: Matrix, columns: np.ndarray, *, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the mean z-score of some genes in each cell, (n,)."""
    weight = np.zeros(expression.shape[1])
    weight[columns] = 1 / (len(columns) * spread[columns])
    return np.asarray(expression @ weight).ravel() - float(mean @ weight)


def _line(line: str) -> tuple[str, tuple[str, ...], str]:
    """Return name, genes and what is wrong with a line."""
    parts = [part.strip() for part in line.split("\t")]
    name, genes = parts[0], tuple(dict.fromkeys(part for part in parts[2:] if part))
    if len(parts) < 3:
        return name, (), "fewer than three fields; name, description and genes stand apart by tabs"
    if not name or len(name) > LONGEST_NAME:
        return name, (), "no name" if not name else f"a name of more than {LONGEST_NAME} characters"
    if not genes:
        return name, (), "no genes"
    if len(genes) > MOST_GENES:
        return name, (), f"{len(genes):,} genes; at most {MOST_GENES:,} are taken"
    return name, genes, ""


def _close(name: str, places: Mapping[str, int], known: Sequence[np.ndarray]) -> tuple[str, ...]:
    near = difflib.get_close_matches(name.lower(), places, n=2, cutoff=0.75)
    return tuple(dict.fromkeys(str(known[0][places[one]]) for one in near))


def _text(content: bytes) -> str:
    """Return the text of a file, or say that it is too large or no text."""
    if len(content) > MOST_BYTES:
        raise DataError(
            f"The gene sets take {len(content) / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:.0f} MB are read. "
            "Keep the sets you need."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(NOT_TEXT) from error
    if "\0" in text:
        raise DataError(NOT_TEXT)
    return text
