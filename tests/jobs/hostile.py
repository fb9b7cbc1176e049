"""Files that lie, leak, hang or explode, made from an honest one; nothing here is dangerous to make."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

CANARY = "canary-7f3a"
N, G = 40, 30


def honest(path: Path) -> Path:
    """Write a small data set like any other."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"day": np.repeat([0, 1], N // 2)}, index=[f"c{k}" for k in range(N)])
    counts = rng.poisson(0.8, (N, G)).astype(np.float32)
    made = AnnData(sparse.csr_matrix(counts), obs=obs)
    made.obsm["X_pca"] = rng.normal(size=(N, 5)).astype(np.float32)
    made.layers["csc"] = sparse.csc_matrix(counts)
    made.write_h5ad(path, compression="gzip")
    return path


def secret(folder: Path) -> Path:
    """Write somebody else's file, which must not be read."""
    path = folder / "secret.txt"
    path.write_text(CANARY * 1000)
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = np.full(N * 5, 7.25)
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    del file["obsm/X_pca"]
    file["obsm/X_pca"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def relative_link(file: h5py.File, folder: Path) -> None:
    file["uns/x"] = h5py.ExternalLink("other.h5", "/x")


def linked_table(file: h5py.File, folder: Path) -> None:
    del file["obs"]
    file["obs"] = h5py.ExternalLink(str(folder / "other.h5"), "/")


def link_to_a_pipe(file: h5py.File, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    file["uns/x"] = h5py.ExternalLink(str(folder / "pipe"), "/x")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["uns/x"] = h5py.SoftLink("/obs")


def soft_cycle(file: h5py.File, folder: Path) -> None:
    file["uns/a"] = h5py.SoftLink("/uns/b")
    file["uns/b"] = h5py.SoftLink("/uns/a")


def hard_cycle(file: h5py.File, folder: Path) -> None:
    file["uns/self"] = file["/"]


def tree(file: h5py.File, folder: Path) -> None:
    group = file["uns"]
    for _ in range(12):
        below = group.create_group("a")
        group["b"] = below
        group = below


def deep(file: h5py.File, folder: Path) -> None:
    group = file["uns"]
    for _ in range(200):
        group = group.create_group("a")


def external_storage(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (1000,), "u1", external=[(str(folder / "secret.txt"), 0, 1000)])


def process_environment(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (100,), "u1", external=[("/proc/self/environ", 0, 100)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(N * 5,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(N * 5,))
    file["uns"].create_virtual_dataset("x", layout)


def unwritten(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (50_000, 300_000), "f4", chunks=(1000, 1000))


def compressed_zeros(file: h5py.File, folder: Path) -> None:
    array = file["uns"].create_dataset("x", (400, 10**6), "u1", chunks=(1, 10**6), compression="gzip")
    array[0] = 0


def many_unwritten(file: h5py.File, folder: Path) -> None:
    for k in range(20):
        file["uns"].create_dataset(f"x{k}", (6_000_000,), "f8", chunks=(1000,))


def huge_chunks(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (10,), "f8", maxshape=(None,), chunks=(20_000_000,), compression="gzip")


def twice_compressed(file: h5py.File, folder: Path) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((1000,))
    layout.set_deflate(9)
    layout.set_deflate(9)
    space = h5py.h5s.create_simple((1000,))
    h5py.h5d.create(file["uns"].id, b"x", h5py.h5t.NATIVE_INT8, space, layout)


def long_texts(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (4,), "S500000", compression="gzip")


def unknown_filter(file: h5py.File, folder: Path) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((10,))
    layout.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(file["uns"].id, b"x", h5py.h5t.NATIVE_INT8, h5py.h5s.create_simple((10,)), layout)


def reference_to_nothing(file: h5py.File, folder: Path) -> None:
    hidden = file.create_dataset(None, data=np.arange(3))
    file["obs/day"].attrs["categories"] = hidden.ref


def array_of_references(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", (2,), h5py.ref_dtype)


def region_reference(file: h5py.File, folder: Path) -> None:
    file["uns"].attrs["x"] = file["obs/day"].regionref[0:3]


def part(name: str, change: Callable[[np.ndarray], np.ndarray], matrix: str = "X") -> Callable:
    """Change one part of a sparse matrix."""

    def apply(file: h5py.File, folder: Path) -> None:
        values = change(file[f"{matrix}/{name}"][()])
        del file[f"{matrix}/{name}"]
        file[f"{matrix}/{name}"] = values

    return apply


def put(position: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Change one value."""

    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[position] = value
        return values

    return change


def without_part(file: h5py.File, folder: Path) -> None:
    del file["X/indptr"]


def other_shape(shape: list) -> Callable:
    """Claim another shape."""

    def apply(file: h5py.File, folder: Path) -> None:
        file["X"].attrs["shape"] = shape

    return apply


def other_format(file: h5py.File, folder: Path) -> None:
    file["X"].attrs["encoding-type"] = "csc_matrix"


LINKS = {
    f.__name__: f
    for f in (
        external_link,
        relative_link,
        linked_table,
        link_to_a_pipe,
        soft_link,
        soft_cycle,
        hard_cycle,
        tree,
        deep,
        external_storage,
        process_environment,
        virtual,
        reference_to_nothing,
        array_of_references,
        region_reference,
    )
}
BOMBS = {
    f.__name__: f
    for f in (
        unwritten,
        compressed_zeros,
        many_unwritten,
        huge_chunks,
        twice_compressed,
        long_texts,
        unknown_filter,
    )
}
SPARSE_LIES = {
    "index far outside": part("indices", put(5, 2_000_000_000)),
    "index just outside": part("indices", put(5, G)),
    "negative index": part("indices", put(5, -1)),
    "last index outside": part("indices", put(-1, G)),
    "fractional indices": part("indices", lambda v: v.astype(float)),
    "start not at 0": part("indptr", put(0, 1)),
    "negative start": part("indptr", put(3, -5)),
    "falling starts": part("indptr", put(3, 10_000)),
    "end too far": part("indptr", put(-1, 10_000_000)),
    "end too early": part("indptr", put(-1, 3)),
    "too few starts": part("indptr", lambda v: v[:-1]),
    "too many starts": part("indptr", lambda v: np.append(v, v[-1])),
    "fewer values than indices": part("data", lambda v: v[:-2]),
    "fewer indices than values": part("indices", lambda v: v[:-2]),
    "indices in a table": part("indices", lambda v: v[: len(v) // 2 * 2].reshape(2, -1)),
    "texts as values": part("data", lambda v: np.array([b"x"] * len(v))),
    "no starts": without_part,
    "other shape": other_shape([N, 5]),
    "negative shape": other_shape([N, -G]),
    "shape of one": other_shape([N]),
    "enormous shape": other_shape([2**40, G]),
    "rows called columns": other_format,
    "column-wise index outside": part("indices", put(5, N), "layers/csc"),
    "column-wise starts fall": part("indptr", put(3, 10_000), "layers/csc"),
}
ALL = LINKS | BOMBS | SPARSE_LIES


def make(name: str, folder: Path) -> Path:
    """Write the hostile file of that name, and what it is after."""
    secret(folder)
    path = honest(folder / "upload.h5ad")
    with h5py.File(path, "a") as file:
        ALL[name](file, folder)
    return path
