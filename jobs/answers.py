"""What a child that read somebody's file says of it: taken as text from a stranger, and bounded."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from dynamics.errors import FileError

LONGEST_LINE = 4 * 1024**2
MOST_BYTES = 16 * 1024**2
"""All that a child may say."""
LONGEST_TEXT = 2_000
MOST_FINDINGS = 200
LONGEST_MESSAGE = 200
FIELDS = {"n_cells": int, "n_genes": int, "roles": dict, "values": str, "findings": list, "protection": dict}
TOO_LONG = {"long": True}


def lines(pipe: IO[bytes]) -> Any:
    """Every line that a child says; `None` in place of one that is too long, which is the last."""
    said = 0
    while line := pipe.readline(LONGEST_LINE):
        said += len(line)
        if said > MOST_BYTES or not line.endswith(b"\n"):
            yield None
            return
        yield line


def parsed(line: bytes) -> dict[str, Any]:
    """One line as what it says; empty where it says nothing that is known."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def step(said: Mapping[str, Any], fraction: float, message: str) -> tuple[float, str]:
    """How far the child is and what it does; as before where it does not say."""
    found, words = said.get("fraction"), said.get("message")
    if isinstance(found, int | float) and math.isfinite(found):
        fraction = min(1.0, max(0.0, float(found)))
    return fraction, plain(words)[:LONGEST_MESSAGE] if isinstance(words, str) else message


def shortened(answer: dict[str, Any]) -> dict[str, Any]:
    """The child's answer with as many findings as anybody reads."""
    findings = answer["report"]["findings"]
    if len(findings) <= MOST_FINDINGS:
        return answer
    rest = {
        "level": "note",
        "code": "more-findings",
        "message": f"{len(findings) - MOST_FINDINGS:,} more findings of this kind are not listed.",
        "fix": "",
    }
    return {"report": answer["report"] | {"findings": [*findings[:MOST_FINDINGS], rest]}}


def report(found: object) -> dict[str, Any]:
    """The report of a child, of the expected form and with texts of bounded length that can be shown.

    Raises
    ------
    FileError
        It has another form.
    """
    if not isinstance(found, dict) or any(not isinstance(found.get(key), FIELDS[key]) for key in FIELDS):
        raise FileError(
            "The file could not be described: what was read of it makes no sense. Open it in Python and save "
            'it again: adata.write_h5ad(path, compression="gzip").'
        )
    findings = [one for one in found["findings"] if isinstance(one, dict)]
    bounded = [{key: str(value)[:LONGEST_TEXT] for key, value in one.items()} for one in findings]
    return _shown(found | {"findings": bounded[: MOST_FINDINGS + 1]})


def error(said: Mapping[str, Any]) -> str:
    """The refusal of a child, which can be shown."""
    return plain(str(said["error"]))[:LONGEST_TEXT]


def plain(text: str) -> str:
    """The text without what no page can show, such as half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _shown(inner) for key, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list) else value
