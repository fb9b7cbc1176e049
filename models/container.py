"""The file that models and states of training are kept in: tensors and a JSON header, in safetensors form.

A file is read as if it came from a stranger: its header and the table of its tensors are checked before a
single tensor is looked at.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from dynamics import faults
from dynamics.disk import write_whole
from dynamics.errors import ModelError
from models.config import canonical_json
from models.header import damaged, parse, shown, take

PRODUCT_VERSION = "0.1.0"
OLDEST, FORMAT = 2, 3
"""Formats that are read; models without an ensemble are still written in the oldest."""
STATE_KIND = "driftscope-training"
TOLD = "told"
MAX_HEADER = 1_000_000
MAX_TENSORS = 1_200
"""An ensemble of 32 of the deepest networks has 1,160; a single model has fewer than 50."""
DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "I64": np.int64}

FOREIGN = {
    b"PK\x03\x04": "a zip archive, such as PyTorch writes, which can hold a program and is never opened",
    **dict.fromkeys(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a Python pickle, which can hold a program and is never opened",
    ),
    b"\x93NUMPY": "an array file (.npy), which can hold a program and is never opened",
    b"\x89HDF": "an HDF5 file, such as a data set (open those on the Start page)",
}
"""What other files begin with."""

Layout = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor."""


class UnreadError(ModelError):
    """The disk did not give the file, whose content may be sound."""


def write_state(arrays: Mapping[str, np.ndarray], path: Path, *, key: str) -> None:
    """Write a state of training, whole or not at all, marked with the run that it belongs to."""
    tensors = {name: np.array(arrays[name], order="C") for name in sorted(arrays)}
    write(tensors, {"format": FORMAT, "kind": STATE_KIND, "key": key}, Path(path))


def read_state(path: Path, *, key: str) -> dict[str, np.ndarray]:
    """Read a state of training.

    Raises
    ------
    ModelError
        The file is damaged, or belongs to another run.
    """
    header, table = read(Path(path), STATE_KIND)
    if header.get("key") != key:
        raise ModelError("the saved training state belongs to other data, another recipe or other versions.")
    return checked_tensors(Path(path), table, header)


def keep(arrays: Mapping[str, np.ndarray], told: Mapping[str, Any], path: Path, *, key: str) -> None:
    """Write results, arrays without NaN and what JSON can tell, marked with the question they answer."""
    text = json.dumps(dict(told), allow_nan=False).encode()
    write_state({**arrays, TOLD: np.frombuffer(text, np.uint8)}, path, key=key)


def kept(path: Path, *, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return results that were kept; None where there are none, or they answer another question.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    if not path.exists() or read(path, STATE_KIND)[0].get("key") != key:
        return None
    arrays = read_state(path, key=key)
    return arrays, json.loads(bytes(arrays.pop(TOLD)))


def write(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any], path: Path) -> None:
    """Write to a temporary name beside `path`, flush it to the disk and rename it."""
    signed = {**header, "sha256": digest(tensors, header)}
    content = pack_tensors(dict(tensors), metadata={"driftscope": canonical_json(signed)})
    write_whole(path, content)


def read(path: Path, kind: str) -> tuple[dict[str, Any], Layout]:
    """Read a file's header and the table of its tensors, and nothing else of it."""
    with _opened(path) as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise _no_model(start)
        table, header = _table(parse(file.read(length)), size - 8 - length)
    if header.get("kind") != kind:
        raise damaged("it is a file of another kind")
    if take(header, "format", int) < OLDEST:
        raise ModelError(
            f"The model was written by an earlier Driftscope (file format {header['format']}; this version, "
            f"{PRODUCT_VERSION}, reads {OLDEST} to {FORMAT}). Train the model again."
        )
    if take(header, "format", int) > FORMAT:
        raise ModelError(
            f"The model was written by a newer Driftscope (file format {header['format']}; this version, "
            f"{PRODUCT_VERSION}, reads {OLDEST} to {FORMAT}). Update Driftscope, or train the model again."
        )
    return header, table


def check_table(table: Layout, layout: Layout) -> None:
    """Make sure that a file has exactly the tensors it must have."""
    if table != layout:
        odd = sorted(set(table.items()) ^ set(layout.items()))
        raise damaged(f'its tensors are not those of its network (see "{shown(odd[0][0])}")')


def checked_tensors(path: Path, table: Layout, header: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read the tensors of a file whose table is in order; check that they are finite and unchanged."""
    with _opened(path) as file:
        content = file.read()
    try:
        tensors = parse_tensors(content)
    except SafetensorError:
        raise damaged("its tensors do not lie where its header says") from None
    for name, values in tensors.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise damaged(f'its tensor "{shown(name)}" holds values that are not finite')
    if {name: values.shape for name, values in tensors.items()} != {
        name: shape for name, (_, shape) in table.items()
    } or digest(tensors, header) != take(header, "sha256", str):
        raise damaged("it changed after it was written")
    return tensors


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, or say that the disk does not give it."""
    try:
        faults.at("read")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UnreadError(f"The model file cannot be opened: {error.strerror}. Choose it again.") from None


def _no_model(start: bytes) -> ModelError:
    """Return the error for a file that does not begin like a model, by what it does begin like."""
    for signature, found in FOREIGN.items():
        if start.startswith(signature):
            return ModelError(
                f"This is {found}, not a Driftscope model. Choose a file that Driftscope saved instead."
            )
    return damaged("it does not begin like one, or is cut short")


def _table(outer: dict[str, Any], n_bytes: int) -> tuple[Layout, dict[str, Any]]:
    """Check the list of tensors against the file's length; return it with Driftscope's own header."""
    metadata = outer.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("driftscope"), str):
        raise damaged("it has no Driftscope header")
    if len(outer) > MAX_TENSORS:
        raise damaged(f"it holds {len(outer):,} tensors")
    table, end = {}, 0
    for name, entry in outer.items():
        dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if (
            not isinstance(dtype, str)
            or dtype not in DTYPES
            or not isinstance(shape, list)
            or not all(is_size(n) for n in shape)
        ):
            raise damaged(f'its tensor "{shown(name)}" has no known type and shape')
        table[name] = (dtype, tuple(shape))
        end += int(np.prod([float(n) for n in shape])) * np.dtype(DTYPES[dtype]).itemsize
    if end != n_bytes:
        raise damaged(f"its tensors take {end:,} bytes, but {n_bytes:,} are there")
    return table, parse(metadata["driftscope"])


def digest(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """SHA-256 over the header and over names, types, shapes and values of the tensors, in order of name."""
    described = {name: value for name, value in header.items() if name != "sha256"}
    sha = hashlib.sha256(canonical_json(described).encode())
    for name in sorted(tensors):
        sha.update(f"{name} {tensors[name].dtype.str} {tensors[name].shape}\n".encode())
        sha.update(tensors[name].tobytes())
    return sha.hexdigest()


def is_size(n: object) -> bool:
    return type(n) is int and 0 <= n < 2**40
