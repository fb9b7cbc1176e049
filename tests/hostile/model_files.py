"""Model files that a stranger might upload: forgeries of a sound one, and other kinds of file under its name.

Each generator gives name → content. `marker` is a file that a program hidden in a file would write.
"""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from models import container

Header = dict[str, Any]
Tensors = dict[str, np.ndarray]


class Bomb:
    """What runs as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable, tuple]:
        return open, (self.marker, "w")


def parts(content: bytes) -> tuple[Header, Tensors]:
    """Return Driftscope's own header of a sound file, and its tensors."""
    outer, _ = outside(content)
    return json.loads(outer["__metadata__"]["driftscope"]), parse_tensors(content)


def outside(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the safetensors header of a sound file, and the bytes of its tensors."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def forged(header: Header | str, tensors: Tensors) -> bytes:
    """Return a file with this header whose digest is right, as a forger would make it."""
    if isinstance(header, dict):
        header = json.dumps(header | {"sha256": container.digest(tensors, header)})
    return pack_tensors(tensors, metadata={"driftscope": header})


def raw(head: str | bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a safetensors file of any header and any length of it."""
    head = head.encode() if isinstance(head, str) else head
    return struct.pack("<Q", len(head) if length is None else length) + head + body


def programs(marker: Path) -> dict[str, bytes]:
    """Formats that can hold a program, with one in them."""
    bomb = Bomb(marker)
    saved = {name: io.BytesIO() for name in ("zip", "legacy", "state", "npy", "npz")}
    torch.save(bomb, saved["zip"])
    torch.save(bomb, saved["legacy"], _use_new_zipfile_serialization=False)
    torch.save({"net.trunk.0.weight": torch.zeros(2), "more": bomb}, saved["state"])
    objects = np.array([bomb], dtype=object)
    np.save(saved["npy"], objects, allow_pickle=True)
    np.savez(saved["npz"], objects, allow_pickle=True)
    found = {f"torch {name}": stream.getvalue() for name, stream in saved.items()}
    found |= {f"pickle {k}": pickle.dumps(bomb, k) for k in range(pickle.HIGHEST_PROTOCOL + 1)}
    found["pickle behind a length"] = raw(pickle.dumps(bomb))
    found["pickle as a header"] = raw(b"{" + pickle.dumps(bomb) + b"}")
    return found | {"tar": _tar(bomb), "zip": _zip(bomb), "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(2000)}


def wrong_ends(sound: bytes) -> dict[str, bytes]:
    """Files of another length than they say."""
    outer, body = outside(sound)
    head = json.dumps(outer)
    return {
        "nothing": b"",
        "a byte": b"\0",
        "a length only": struct.pack("<Q", 10),
        **{f"length {n}": raw(head, body, length=n) for n in (0, 1, 2**31, 2**63, 2**64 - 1)},
        "length beyond the file": raw(head, body, length=len(sound)),
        "length a byte short": raw(head, body, length=len(head) - 1),
        "length a byte long": raw(head, body, length=len(head) + 1),
        "cut in half": sound[: len(sound) // 2],
        "cut by a byte": sound[:-1],
        "a byte more": sound + b"\0",
        "a model more": sound + sound,
        "a header of 2 MB": raw(head + " " * 2_000_000, body),
        "zeros": bytes(100_000),
    }


def wrong_layouts(sound: bytes) -> dict[str, bytes]:
    """Tensors that do not lie, or are not, as the header of the file says."""
    outer, body = outside(sound)
    header, tensors = parts(sound)
    name, other = "net.trunk.0.weight", "net.trunk.0.bias"
    entry = outer[name]
    first, last = entry["data_offsets"]

    def lies(**change: Any) -> bytes:
        return raw(json.dumps(outer | {name: entry | change}), body)

    shapes = {
        "negative": [-1, -4],
        "fractions": [8.0, 9.0],
        "truth": [True, 72],
        "text": ["8", "9"],
        "overflow": [2**32, 2**32],
        "beyond 64 bits": [2**70, 1],
        "empty and endless": [2**62, 0],
        "deep": [1] * 5000 + [entry["shape"][0], entry["shape"][1]],
        "none": None,
    }
    types = {
        f"type {kind}": forged(header, tensors | {name: tensors[name].astype(kind)})
        for kind in ("float16", "float64", "int8", "bool", "uint64", "int32")
    }
    lied = {f"type {kind}": lies(dtype=kind) for kind in ("BF16", "F8_E4M3", "F4", "C64", "f32", "", None, 7)}
    found = {f"shape {kind}": lies(shape=shape) for kind, shape in shapes.items()} | types | lied
    found |= {
        "offsets overlap": lies(data_offsets=outer[other]["data_offsets"]),
        "offsets leave a gap": lies(data_offsets=[first + 4, last + 4]),
        "offsets fall": lies(data_offsets=[last, first]),
        "offsets beyond the file": lies(data_offsets=[2**40, 2**40 + last - first]),
        "offsets beyond 64 bits": lies(data_offsets=[2**70, 2**70 + 1]),
        "offsets below zero": lies(data_offsets=[-4, last - first - 4]),
        "no offsets": raw(json.dumps(outer | {name: {"dtype": "F32", "shape": entry["shape"]}}), body),
        "entry is a list": raw(json.dumps(outer | {name: [1]}), body),
        "missing tensor": forged(header, {k: v for k, v in tensors.items() if k != name}),
        "one tensor more": forged(header, tensors | {"more": np.zeros(1)}),
        "turned tensor": forged(header, tensors | {name: np.ascontiguousarray(tensors[name].T)}),
        "40,000 tensors": forged(header, tensors | {f"t{k}": np.zeros(0) for k in range(40_000)}),
        "10,000 empty tensors": forged(header, tensors | {f"t{k}": np.zeros(0) for k in range(10_000)}),
        "no tensor": forged(header, {}),
        "name is a path": forged(header, tensors | {"../../etc/passwd": np.zeros(1)}),
        "name of half a character": raw(json.dumps(outer | {"\ud800": {"dtype": "F32", "shape": "x"}}), body),
    }
    return found


def wrong_json(sound: bytes) -> dict[str, bytes]:
    """Headers that a careless reader of JSON trips over."""
    outer, body = outside(sound)
    header, tensors = parts(sound)
    text, head = json.dumps(header), json.dumps(outer)
    seed = f'"seed": {header["seed"]}'
    numbers = {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "1e999": "1e999",
        "5,000 digits": "9" * 5000,
        "500,000 digits": "9" * 500_000,
        "500,000 decimals": "0." + "9" * 500_000,
        "2⁶³": str(2**63),
        "fraction": "0.5",
        "whole with a point": "0.0",
        "minus": "-1",
    }
    deep = {f"{n:,} levels": "[" * n + "]" * n for n in (9, 1_000, 100_000)}
    deep |= {"100,000 objects": '{"a":' * 100_000 + "1" + "}" * 100_000}
    found = {f"number {name}": text.replace(seed, f'"seed": {value}') for name, value in numbers.items()}
    found |= {name: text.replace(seed, f'"seed": {value}') for name, value in deep.items()}
    found |= {
        "a name twice": text.replace(seed, f"{seed}, {seed}"),
        "cut": text[:-1],
        "more behind": text + "{}",
        "a list": "[]",
        "a number": "1",
        "null": "null",
        "nothing": "",
        "a comment": "/* */" + text,
        "NUL": text + "\0",
        "a mark": "\ufeff" + text,
        "half a character": text.replace(seed, f'{seed}, "more": "\\ud800"'),
    }
    inner = {f"header {name}": forged(value, tensors) for name, value in found.items()}
    broken = {
        "not UTF-8": head.replace("driftscope", "driftsc\xf6pe").encode("latin-1"),
        "UTF-16": head.encode("utf-16"),
        "UTF-32": head.encode("utf-32"),
        "a mark": b"\xef\xbb\xbf" + head.encode(),
        "a mark alone": b"\xef\xbb\xbf",
        "a tensor twice": head.replace("{", '{"low": {"dtype":"F64","shape":[3],"data_offsets":[0,24]}, ', 1),
        "100,000 levels": "[" * 100_000 + "]" * 100_000,
        "a list": "[]",
        "empty": "{}",
        "no facts": json.dumps({name: value for name, value in outer.items() if name != "__metadata__"}),
        "facts are a number": json.dumps(outer | {"__metadata__": 5}),
        "facts hold a number": json.dumps(outer | {"__metadata__": {"driftscope": 5}}),
        "facts are empty": json.dumps(outer | {"__metadata__": {}}),
    }
    return inner | {f"file header {name}": raw(value, body) for name, value in broken.items()}


def _tar(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            content = pickle.dumps(bomb)
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))
    return stream.getvalue()


def _zip(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickle.dumps(bomb))
        file.writestr("archive/code/__torch__.py", "open('marker', 'w')")
        file.writestr("archive/data/0", bytes(10_000_000))
    return stream.getvalue()
