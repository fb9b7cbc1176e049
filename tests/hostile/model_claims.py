"""What a forged model file may claim: recipes, times, summaries and values that no training could give.

Each generator gives name → content; the digest of every file is right.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from model_files import forged, parts

from models import container


def wrong_settings(sound: bytes) -> dict[str, bytes]:
    """Recipes and networks that Driftscope would not have written."""
    header, tensors = parts(sound)
    settings, shape = header["settings"], header["architecture"]
    changes = {
        "newer format": {"format": container.FORMAT + 1},
        "format 0": {"format": 0},
        "format as text": {"format": "2"},
        "format as truth": {"format": True},
        "unknown method": {"method": "warp"},
        "method of Python": {"method": "__class__"},
        "another method": {"method": "sf2m"},
        "method as a list": {"method": ["ot-cfm"]},
        "method of 300 KB": {"method": "m" * 300_000},
        "no settings": {"settings": {}},
        "settings as a list": {"settings": list(settings)},
        "one setting more": {"settings": settings | {"eval": "1"}},
        "setting of Python": {"settings": settings | {"__init__": 1}},
        "one setting less": {"settings": {k: v for k, v in settings.items() if k != "steps"}},
        "truth for a number": {"settings": settings | {"steps": True}},
        "text for a number": {"settings": settings | {"steps": "20"}},
        "fraction for a whole": {"settings": settings | {"steps": 20.5}},
        "setting below its range": {"settings": settings | {"steps": -1}},
        "setting above its range": {"settings": settings | {"steps": 10**12}},
        "setting of 300 KB": {"settings": settings | {"steps": "s" * 300_000}},
        "setting is a list": {"settings": settings | {"steps": [20]}},
        "width 10⁹": {"architecture": shape | {"width": 10**9}},
        "width 0": {"architecture": shape | {"width": 0}},
        "width as truth": {"architecture": shape | {"width": True}},
        "depth 10⁶": {"architecture": shape | {"depth": 10**6}},
        "another depth": {"architecture": shape | {"depth": 2}},
        "another width of states": {"architecture": shape | {"dim": 4}},
        "4,096 states": {"architecture": shape | {"dim": 4096, "heads": {"velocity": 4096}}},
        "heads that are Python": {"architecture": shape | {"heads": {"__class__": 3}}},
        "many heads": {"architecture": shape | {"heads": {f"h{k}": 3 for k in range(9)}}},
        "head with a dot": {"architecture": shape | {"heads": {"a.b": 3}}},
        "unknown kind": {"architecture": shape | {"kind": "exec"}},
        "another kind": {"architecture": shape | {"kind": "potential"}},
        "no heads": {"architecture": shape | {"heads": {}}},
        "endless table": {"architecture": shape | {"tables": {"a": [2**40]}}},
        "tables of many": {"architecture": shape | {"tables": {f"t{k}": [1] for k in range(1000)}}},
        "table with a dot": {"architecture": shape | {"tables": {"a.b": [1]}}},
        "table below zero": {"architecture": shape | {"tables": {"a": [-1]}}},
        "network of no parts": {"architecture": {}},
        "members -1": {"members": -1},
        "members 1": {"members": 1},
        "members 3": {"members": 3},
        "members 10⁹": {"members": 10**9},
        "members as truth": {"members": True},
    }
    found = {f"recipe {name}": forged(header | change, tensors) for name, change in changes.items()}
    for table in ("growth_unit", "sigma", "support", "score_unit", "cells", "forward", "trunk", "training"):
        architecture = shape | {"tables": {table: [2]}}
        value = {f"net.{table}": np.ones(2, np.float32)}
        found[f"recipe table {table}"] = forged(header | {"architecture": architecture}, tensors | value)
    return found


def wrong_facts(sound: bytes) -> dict[str, bytes]:
    """Times, names and ranges that contradict each other or themselves."""
    header, tensors = parts(sound)
    times = header["times"]
    n = len(times["values"])
    changes: dict[str, Mapping[str, Any]] = {
        **{f"no {name}": {name: None} for name in ("name", "rep", "fingerprint", "times", "seed", "whiten")},
        "times fall": {"times": times | {"values": times["values"][::-1]}},
        "times repeat": {"times": times | {"values": [1.0] * n}},
        "times as text": {"times": times | {"values": [str(value) for value in times["values"]]}},
        "times as truth": {"times": times | {"values": [False, True, 2]}},
        "times beyond measure": {"times": times | {"values": [-1e308, 0.0, 1e308]}},
        "times as near as can be": {"times": times | {"values": [0.0, 5e-324, 1e-323]}},
        "one time": {
            "times": {name: value if name == "unit" else value[:1] for name, value in times.items()}
        },
        "fewer labels": {"times": times | {"labels": times["labels"][:-1]}},
        "more cells": {"times": times | {"n_cells": [*times["n_cells"], 3]}},
        "cells as text": {"times": times | {"n_cells": ["3"] * n}},
        "cells below zero": {"times": times | {"n_cells": [-3] * n}},
        "labels as numbers": {"times": times | {"labels": list(range(n))}},
        "label of 300 KB": {"times": times | {"labels": ["l" * 300_000] * n}},
        "unit of 300 KB": {"times": times | {"unit": "u" * 300_000}},
        "unit is a list": {"times": times | {"unit": ["day"]}},
        "20,000 times": {
            "times": {
                "values": list(range(20_000)),
                "labels": ["a"] * 20_000,
                "n_cells": [1] * 20_000,
                "unit": "",
            },
            "speeds": [1.0] * 19_999,
        },
        "times more": {"times": times | {"more": 1}},
        "speed 0": {"speeds": [0.0] * (n - 1)},
        "speed below zero": {"speeds": [-1.0] * (n - 1)},
        "speed beyond measure": {"speeds": [1e300] * (n - 1)},
        "too few speeds": {"speeds": []},
        "speeds as truth": {"speeds": [True] * (n - 1)},
        "name of 300 KB": {"name": "n" * 300_000},
        "name is an object": {"name": {"a": 1}},
        "rep of 300 KB": {"rep": "r" * 300_000},
        "rep is a number": {"rep": 3},
        "fingerprint is a list": {"fingerprint": []},
        "fingerprint is no hash": {"fingerprint": "../../../etc/passwd"},
        "fingerprint is empty": {"fingerprint": ""},
        "seed as truth": {"seed": True},
        "seed below zero": {"seed": -1},
        "seed of 33 bits": {"seed": 2**32},
        "whiten as a number": {"whiten": 1},
        "another kind": {"kind": container.STATE_KIND},
        "no kind": {"kind": None},
        "an entry more": {"plugin": "http://host/x.py"},
        "basis as a list": {"basis": []},
        "basis as truth": {"basis": True},
        "genes 10⁹": {"basis": {"n_genes": 10**9, "gene_bytes": 10}},
        "genes below zero": {"basis": {"n_genes": -4, "gene_bytes": 10}},
        "genes of nothing": {"basis": {"n_genes": 4, "gene_bytes": 0}},
        "basis more": {"basis": header["basis"] | {"path": "/etc/passwd"}},
    }
    return {f"facts {name}": forged(header | change, tensors) for name, change in changes.items()}


def wrong_cards(sound: bytes) -> dict[str, bytes]:
    """Summaries that a page could not draw: every entry missing, and of every wrong type."""
    header, tensors = parts(sound)
    summary = header["summary"]
    odd = {"text": "3", "null": None, "truth": True, "list": [[]], "object": {"a": {}}, "big": 2**62}
    changes = {f"without {name}": _without(summary, name) for name in ("steps", "final_loss", "n_cells")}
    for name in ("steps", "final_loss", "reference_loss", "n_cells", "loss", "warnings", "couplings"):
        for kind, value in odd.items():
            if (kind, name) not in {("big", "steps"), ("big", "final_loss"), ("big", "reference_loss")}:
                changes[f"{name} {kind}"] = summary | {name: value}
    n = len(summary["n_cells"])
    changes |= {
        "empty": {},
        "a list": [],
        "one entry more": summary | {"html": "<script>alert(1)</script>"},
        "losses of text": summary | {"loss": [["1", "2"]]},
        "100,000 losses": summary | {"loss": [[k, 1] for k in range(50_000)]},
        "cells of text": summary | {"n_cells": ["9"] * n},
        "cells of another number of times": summary | {"n_cells": [9] * (n + 1)},
        "cells below zero": summary | {"n_cells": [-9] * n},
        "cells 10¹⁸": summary | {"n_cells": [10**18] * n},
        "loss beyond measure": summary | {"final_loss": 1e308},
        "warning of 300 KB": summary | {"warnings": ["w" * 300_000]},
        "10,000 warnings": summary | {"warnings": ["w"] * 10_000},
        "warnings of numbers": summary | {"warnings": [3]},
        "versions of numbers": summary | {"versions": {"torch": 2}},
        "versions as text": summary | {"versions": "2"},
        "figures as a list": summary | {"figures": [1]},
        "figures of text": summary | {"figures": "x"},
        "couplings of text": summary | {"couplings": ["x"]},
    }
    return {f"card {name}": forged(header | {"summary": value}, tensors) for name, value in changes.items()}


def wrong_values(sound: bytes) -> dict[str, bytes]:
    """Tensors whose values no training could give."""
    header, tensors = parts(sound)
    name = "net.trunk.0.weight"

    def with_(name: str, value: Any) -> bytes:
        return forged(header, tensors | {name: np.full_like(tensors[name], value)})

    found = {f"weights {value}": with_(name, value) for value in (np.nan, np.inf, -np.inf, 3e38, 1e30)}
    found["last weights 3e38"] = with_("net.heads.velocity.weight", 3e38)
    found |= {f"scale {value}": with_("scale", value) for value in (0.0, -1.0, 1e-300, 5e-324, 1e300, np.nan)}
    found |= {f"{side} 1e308": with_(side, 1e308) for side in ("high", "shift")}
    found |= {"low -1e308": with_("low", -1e308), "low above high": with_("low", 1e6)}
    found |= {f"shift {value}": with_("shift", value) for value in (np.nan, np.inf)}
    size = len(tensors["basis.genes"])
    genes = {
        "of no text": b"\xff" * size,
        "of half characters": (b"\xed\xa0\x80" * size)[:size],
        "without names": b"\n" * size,
        "of one name": b"a" * size,
        "of NULs": b"\0" * size,
        "twice": b"a\na\nb\n" + b"c" * (size - 6),
    }
    found |= {
        f"genes {kind}": forged(header, tensors | {"basis.genes": np.frombuffer(content, np.uint8)})
        for kind, content in genes.items()
    }
    for name in ("loadings", "mean", "r2"):
        found[f"genes' {name} not finite"] = with_(f"basis.{name}", np.nan)
    found["genes' r2 beyond 1"] = with_("basis.r2", 7.0)
    found["genes' loadings 3e38"] = with_("basis.loadings", 3e38)
    wrong = json.dumps(header | {"sha256": "0" * 64})
    found |= {
        "digest of another file": forged(wrong, tensors),
        "digest missing": forged(json.dumps(_without(header, "sha256")), tensors),
        "digest is a number": forged(json.dumps(header | {"sha256": 0}), tensors),
        "header changed without the digest": forged(json.dumps(header | {"name": "mine"}), tensors),
    }
    return found


def strange_but_whole(sound: bytes) -> dict[str, bytes]:
    """Forgeries that say nothing impossible: they are opened, and what they say is text."""
    header, tensors = parts(sound)
    times = header["times"]
    markup = "<img src=x onerror=alert(1)> ![](http://host/p.png) $x$ :red[a] =1+1"
    changes = {
        "markup": {"name": markup, "rep": "../../etc/passwd", "times": times | {"unit": markup[:40]}},
        "labels of markup": {"times": times | {"labels": [f"{markup[:150]}{k}" for k in range(3)]}},
        "control characters": {"name": "a\0b\x1b[2J\r\nc\u202e\u2028d"},
        "no name": {"name": ""},
        "minus zero": {"times": times | {"values": [-0.0, *times["values"][1:]]}},
        "other cells": {"fingerprint": "0" * 64},
        "another representation": {"rep": "X_other"},
    }
    return {name: forged(header | change, tensors) for name, change in changes.items()}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
