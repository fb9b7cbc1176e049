"""Lists of transcription factors, prior networks, and the table of candidate edges."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dynamics.errors import DataError
from dynamics.spreadsheet import LINE_END, as_text

if TYPE_CHECKING:
    from dynamics.regulation import Regulation

SIGNS = {
    **dict.fromkeys(("1", "+1", "+", "1.0", "activation", "activates", "activator", "positive"), 1),
    **dict.fromkeys(
        ("-1", "-", "−", "-1.0", "repression", "represses", "repressor", "inhibition", "negative"), -1
    ),
}
UNSIGNED = 2
MOST_BYTES = 20_000_000
COLUMNS = (
    "regulator",
    "target",
    "call",
    "score",
    "score_low",
    "score_high",
    "members_agree",
    "beyond_chance",
    "jacobian",
    "correlation",
    "partial_correlation",
    "prior",
)


def read_names(text: str) -> list[str]:
    """Read names of genes that stand apart by commas, semicolons, blanks or line breaks; each once."""
    words = text.replace(",", " ").replace(";", " ").split()
    return list(dict.fromkeys(word.strip("\"'") for word in words if not word.startswith("#")))


def read_prior(text: str) -> list[tuple[str, str, int]]:
    """Read a prior network: lines of regulator, target and, where known, sign.

    The fields stand apart by commas, tabs or semicolons; a first line with their names is left out. A sign is
    1 or −1, + or -, or a word such as activation; without one the edge counts as unsigned (2).

    Raises
    ------
    DataError
        A line has fewer than two fields, or an unknown sign; the message gives the line. Or it is too large.
    """
    if len(text) > MOST_BYTES:
        raise DataError("The prior network is larger than 20 MB. Keep the edges among your genes only.")
    mark = next((one for one in ("\t", ";") if one in text[:2000]), ",")
    found = []
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=mark), start=1):
        words = [word.strip() for word in row]
        if not any(words) or words[0].startswith("#"):
            continue
        if number == 1 and {words[0].lower(), words[min(1, len(words) - 1)].lower()} & {
            "regulator",
            "target",
            "tf",
        }:
            continue
        found.append(_edge(words, number))
    if not found:
        raise DataError("The prior network has no edges. Expected are lines of: regulator, target, sign.")
    return found


def prior_table(
    edges: Sequence[tuple[str, str, int]], regulators: Sequence[str], targets: Sequence[str]
) -> np.ndarray:
    """Return a prior network as a table, (r, t) int8: 1, −1, 2 for an edge without a sign, 0 for none."""
    row = {name: k for k, name in enumerate(regulators)}
    column = {name: k for k, name in enumerate(targets)}
    table = np.zeros((len(regulators), len(targets)), np.int8)
    for regulator, target, sign in edges:
        if regulator in row and target in column:
            table[row[regulator], column[target]] = sign
    return table


def edges(found: "Regulation", *, most: int | None = None) -> list[dict[str, object]]:
    """Return the candidate edges, the strongest first, one row each under the names of `COLUMNS`."""
    r, t = np.nonzero(found.others & np.isfinite(found.score))
    order = np.argsort(-found.strength[r, t], kind="stable")[:most]
    return [_row(found, r[k], t[k]) for k in order]


def to_csv(rows: Sequence[dict[str, object]]) -> str:
    """Write edges as CSV that a spreadsheet reads as text and numbers, never as formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=LINE_END)
    names = list(rows[0]) if rows else list(COLUMNS)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return out.getvalue()


def _edge(words: list[str], number: int) -> tuple[str, str, int]:
    if len(words) < 2 or not words[0] or not words[1]:
        raise DataError(
            f"Line {number} of the prior network is {', '.join(words)!r:.60}; "
            "expected are a regulator, a target and perhaps a sign, with commas between."
        )
    if len(words) < 3 or words[2].lower() in ("", "0", "nan", "?", "unknown"):
        return words[0], words[1], UNSIGNED
    if words[2].lower() not in SIGNS:
        raise DataError(
            f"Line {number} of the prior network gives the sign {words[2]!r:.30}; write 1 for activation, "
            "-1 for repression, or nothing."
        )
    return words[0], words[1], SIGNS[words[2].lower()]


def _row(found: "Regulation", r: int, t: int) -> dict[str, object]:
    score = float(found.score[r, t])
    tables = (found.low, found.high, found.agree, found.effect, found.correlation, found.partial)
    low, high, agree, effect, plain, partial = (_known(table[r, t]) for table in tables)
    call = "candidate activator" if score > 0 else "candidate repressor"
    prior = {1: "activation", -1: "repression", UNSIGNED: "edge"}.get(int(found.prior[r, t]), "")
    values = (
        *(found.regulators[r], found.targets[t], call, round(score, 5), low, high, agree),
        *(bool(abs(score) > found.chance), effect, plain, partial, prior),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _known(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def _cell(value: object) -> object:
    return "" if value is None else as_text(value)
