"""Files that point elsewhere: links, storage in other files, windows on other files, references."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5o, h5p, h5s, h5t

from tests.hostile.battery import Case, Change, N, edited, family, fifo, patched, replaced

PLACES = (
    "X",
    "X/data",
    "X/indices",
    "X/indptr",
    "obs",
    "obs/_index",
    "obs/day",
    "obs/type",
    "obs/type/categories",
    "obs/type/codes",
    "obs/sure/mask",
    "obs/__categories",
    "obs/__categories/day",
    "var",
    "var/_index",
    "obsm",
    "obsm/X_pca",
    "obsm/new",
    "varm/PCs",
    "varp",
    "obsp/graph",
    "obsp/graph/data",
    "layers",
    "layers/dense",
    "layers/csc/indices",
    "raw",
    "raw/X",
    "raw/X/data",
    "raw/var",
    "raw.X",
    "uns",
    "uns/params",
    "uns/params/x",
    "uns/type_colors",
    "uns/day_categories",
    "unknown",
)
MAIN = ("X", "X/data", "obs", "obs/day", "obs/type/categories", "obsm/X_pca", "raw/X/data", "uns/params/x")
ARRAYS = tuple(
    place
    for place in PLACES
    if place
    not in ("X", "obs", "obs/type", "obs/__categories", "var", "obsm", "varp", "obsp/graph", "layers")
    and place not in ("raw", "raw/X", "raw/var", "uns", "uns/params")
)


def _soft(target: str) -> Callable[[Path], object]:
    return lambda folder: h5py.SoftLink(target)


def _external(file: str, inside: str = "/x") -> Callable[[Path], object]:
    return lambda folder: h5py.ExternalLink(file.replace("FOLDER", str(folder)), inside)


KINDS = {
    "soft": _soft("/obs/day"),
    "soft, leading nowhere": _soft("/no/such/thing"),
    "soft, to itself": _soft("."),
    "absolute": _external("FOLDER/other.h5"),
    "relative": _external("other.h5"),
    "through the folder above": _external("../upload/../other.h5"),
    "to a table": _external("FOLDER/other.h5", "/frame"),
    "to the whole file": _external("other.h5", "/"),
    "to this file": _external("upload.h5ad", "/obs/day"),
    "to nothing": _external("no-such-file.h5"),
    "with a prefix": _external("${ORIGIN}/other.h5"),
    "with a list": _external("/etc:FOLDER/other.h5:other.h5"),
    "to the password file": _external("/etc/passwd"),
    "to the environment": _external("/proc/self/environ"),
    "to a device": _external("/dev/zero"),
    "to a pipe": lambda folder: h5py.ExternalLink(fifo(folder), "/x"),
}


def linked(place: str, kind: str) -> Change:
    """A link in place of an element."""

    def change(file: h5py.File, folder: Path) -> None:
        target = KINDS[kind](folder)
        replaced(place, lambda group, name: group.__setitem__(name, target))(file, folder)

    return change


def user_defined(code: int) -> Callable[[Path], Path]:
    """A link of a class that only its author knows: an external one whose class is changed."""

    def first(file: h5py.File, folder: Path) -> None:
        file["uns/unusual_link"] = h5py.ExternalLink("other.h5", "/x")

    def change(content: bytearray) -> None:
        at = content.index(b"unusual_link")
        kind = max(k for k in range(at - 14, at) if content[k] == 64 and content[k - 1] & 8)
        content[kind] = code

    return patched(change, first=first)


def _cycle(file: h5py.File, folder: Path) -> None:
    file["uns/a"] = h5py.SoftLink("/uns/b")
    file["uns/b"] = h5py.SoftLink("/uns/a")


def _slashed(name: bytes) -> Callable[[Path], Path]:
    """A hard link whose name no library would write."""

    def first(file: h5py.File, folder: Path) -> None:
        file["uns/" + "q" * 16] = np.arange(3)
        file["uns/a"] = h5py.SoftLink("/obs")

    def change(content: bytearray) -> None:
        content[:] = content.replace(b"q" * 16, name.ljust(16, b"\0"))

    return patched(change, first=first)


# data kept in other files

STORES = {
    "a text": lambda folder: [(str(folder / "secret.txt"), 0, 1000)],
    "a relative text": lambda folder: [("secret.txt", 0, 1000)],
    "the environment": lambda folder: [("/proc/self/environ", 0, 1000)],
    "a device": lambda folder: [("/dev/zero", 0, h5py.h5f.UNLIMITED)],
    "a pipe": lambda folder: [(fifo(folder), 0, 1000)],
    "many pieces": lambda folder: [(str(folder / "secret.txt"), 50 * k, 50) for k in range(20)],
    "this very file": lambda folder: [(str(folder / "upload.h5ad"), 0, 1000)],
    "text without an end": lambda folder: [(str(folder / "secret.txt"), 0, h5py.h5f.UNLIMITED)],
}


def stored(place: str, store: str) -> Change:
    """An array that keeps its values in another file."""

    def change(file: h5py.File, folder: Path) -> None:
        pieces = STORES[store](folder)
        replaced(place, lambda group, name: group.create_dataset(name, (1000,), "u1", external=pieces))(
            file, folder
        )

    return change


def _texts_stored(file: h5py.File, folder: Path) -> None:
    del file["obs/_index"]
    file["obs"].create_dataset("_index", (N,), "S11", external=[(str(folder / "secret.txt"), 0, 11 * N)])


# windows on other files


def window(place: str, source: str, *, inside: str = "x", unlimited: bool = False) -> Change:
    """A virtual dataset."""

    def change(file: h5py.File, folder: Path) -> None:
        layout = h5p.create(h5p.DATASET_CREATE)
        space = h5s.create_simple((N * 5,), (h5s.UNLIMITED,) if unlimited else None)
        if unlimited:
            space.select_hyperslab((0,), (h5s.UNLIMITED,), (N * 5,), (N * 5,))
        there = h5s.create_simple((N * 5,))
        name = source.replace("FOLDER", str(folder))
        layout.set_virtual(space, name.encode(), inside.encode(), there)
        made = h5s.create_simple((N * 5,), (h5s.UNLIMITED,)) if unlimited else h5s.create_simple((N * 5,))
        replaced(
            place, lambda group, name: h5d.create(group.id, name.encode(), h5t.NATIVE_DOUBLE, made, layout)
        )(file, folder)

    return change


def _chain(file: h5py.File, folder: Path) -> None:
    window("uns/a", ".", inside="/uns/b")(file, folder)
    window("uns/b", ".", inside="/uns/a")(file, folder)


WINDOWS = {
    "other file": ("FOLDER/other.h5", {}),
    "relative file": ("other.h5", {}),
    "this file": (".", {"inside": "/obs/day"}),
    "no file": ("no-such-file.h5", {}),
    "the environment": ("/proc/self/environ", {}),
    "a row of files": ("FOLDER/other%b.h5", {"unlimited": True}),
    "a row of arrays": ("FOLDER/other.h5", {"inside": "x%b", "unlimited": True}),
}

# references


def hidden(**about: object) -> Callable[[Path], Path]:
    """A column that refers to an array which no group lists: its entry is turned to another array."""
    addresses: list[bytes] = []

    def first(file: h5py.File, folder: Path) -> None:
        given = {"data": np.arange(3)} if not about else dict(about)
        if "external" in given:
            given["external"] = [(str(folder / "secret.txt"), 0, 1000)]
        made = file["uns"].create_dataset("hidden", **given)
        file["obs/day"].attrs["categories"] = made.ref
        addresses[:] = [h5o.get_info(one.id).addr.to_bytes(8, "little") for one in (made, file["obs/day"])]

    def change(content: bytearray) -> None:
        at = -1
        while (at := content.find(b"SNOD", at + 1)) >= 0:
            for entry in range(at + 16, at + 16 + 8 * 40, 40):
                if content[entry : entry + 8] == addresses[0]:
                    content[entry : entry + 8] = addresses[1]

    return patched(change, first=first)


def _attribute(make: Callable[[h5py.File], tuple]) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        value, kind = make(file)
        file["obs/day"].attrs.create("categories", value, dtype=kind)

    return change


def _reference_in_a_record(file: h5py.File, folder: Path) -> None:
    kind = np.dtype([("a", "i4"), ("b", h5py.ref_dtype)])
    file["uns"].create_dataset("x", (2,), kind)


def _list_of_references(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (2,), h5py.vlen_dtype(h5py.ref_dtype))


def _stored_type(file: h5py.File, folder: Path) -> None:
    file["uns/kind"] = np.dtype("f8")
    file["uns/kind"].attrs["points"] = file["obs/day"].regionref[:2]


def _type_of_references(file: h5py.File, folder: Path) -> None:
    kind = h5t.STD_REF_OBJ.copy()
    kind.commit(file["uns"].id, b"kind")
    h5d.create(file["uns"].id, b"x", kind, h5s.create_simple((2,)))


REFERENCES: dict[str, Change] = {
    "to a region, in an attribute": _attribute(
        lambda file: (file["obs/day"].regionref[0:3], h5py.regionref_dtype)
    ),
    "to what is gone": _attribute(lambda file: (file.create_dataset(None, data=[1]).ref, h5py.ref_dtype)),
    "array of them": lambda file, folder: file["uns"].create_dataset("x", (2,), h5py.ref_dtype),
    "array of regions": lambda file, folder: file["uns"].create_dataset("x", (2,), h5py.regionref_dtype),
    "in a record": _reference_in_a_record,
    "in lists": _list_of_references,
    "from a stored type": _stored_type,
    "by a stored type": _type_of_references,
    "as X": replaced("X", lambda group, name: group.create_dataset(name, (N, 3), h5py.ref_dtype)),
    "as a column": replaced("obs/day", lambda group, name: group.create_dataset(name, (N,), h5py.ref_dtype)),
}


def cases() -> list[Case]:
    """Every file that points elsewhere."""
    at = {f"{kind}, at {place}": edited(linked(place, kind)) for place in MAIN for kind in KINDS}
    rest = ("soft", "absolute")
    at |= {f"{kind}, at {place}": edited(linked(place, kind)) for place in PLACES for kind in rest}
    unusual = {f"class {code}": user_defined(code) for code in (2, 63, 65, 66, 100, 200, 255)}
    odd = {"going in a circle": edited(_cycle)}
    odd |= {f"named {name!r}": _slashed(name) for name in (b"a/day", b"..", b".", b"/", b"a//", b"../obs")}
    stores = {f"{store}, at {place}": edited(stored(place, store)) for place in MAIN[1:2] for store in STORES}
    stores |= {f"a text, at {place}": edited(stored(place, "a text")) for place in ARRAYS}
    stores |= {f"the environment, at {place}": edited(stored(place, "the environment")) for place in ARRAYS}
    stores["as names of cells"] = edited(_texts_stored)
    windows = {
        f"{name}, at {place}": edited(window(place, source, **more))
        for place in ("X/data", "obsm/X_pca", "uns/params/x")
        for name, (source, more) in WINDOWS.items()
    }
    windows |= {f"other file, at {place}": edited(window(place, "FOLDER/other.h5")) for place in ARRAYS}
    windows["chain"] = edited(_chain)
    references = {name: edited(change) for name, change in REFERENCES.items()}
    references["to something unlisted"] = hidden()
    references["to an unlisted array in another file"] = hidden(shape=(1000,), dtype="u1", external=())
    return [
        *family("links", at, words="link"),
        *family("unusual links", unusual, words="link|damaged", in_process=False),
        *family("unusual links", odd, words="link|name"),
        *family("data in other files", stores, words="another file"),
        *family("windows on files", windows, words="window on other arrays"),
        *family("references", references, words="refer"),
    ]


if os.name == "nt":  # no named pipes there
    KINDS.pop("to a pipe"), STORES.pop("a pipe")
