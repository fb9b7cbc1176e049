"""Work on data: opening a file, opening a demo, preparing. Runs on a worker; see `jobs.tasks`."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamics import demo as demos
from dynamics import inspect, preprocess, read
from dynamics.errors import FileError, SettingsError, Stopped
from dynamics.field import Progress, no_progress, share
from dynamics.gene_states import with_gene_states
from dynamics.roles import Roles, detect
from jobs import sandbox, shipped
from jobs.workspace import Workspace, write_json

if TYPE_CHECKING:
    from anndata import AnnData

LOOK_S = 0.3
COMPUTED = {"rep": ("pca", "X_pca"), "embedding": ("umap", "X_umap")}
"""Role → the step of preparing that makes it, and under which name."""


def ingest(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Open a file: check it, read it in a process with limits, and take a clean copy into the workspace.

    Parameters
    ----------
    params
        `source`: path of the file; `name`: what the user calls it.
    """
    workspace, source = workspace_of(folder), Path(params["source"])
    uploaded = source.parent == workspace.home / "uploads"
    if workspace.has_dataset(folder.name):  # an attempt before this one did not come to say so
        return _opened(folder.name, source if uploaded else None)
    if not source.is_file():
        raise FileError(f"The file {params['name']} is not there any more. Upload it again.")
    fresh = fresh_folder(folder / "dataset")
    try:
        report = sandbox.ingest(source, fresh / "data.h5ad", progress=progress)
    except FileError:
        if uploaded:  # it will be refused again; its room is needed
            source.unlink(missing_ok=True)
        raise
    finally:
        if not (fresh / "data.h5ad").exists():
            shutil.rmtree(fresh, ignore_errors=True)
    dataset = workspace.add_dataset(
        fresh,
        name=params["name"],
        origin=f"{'Uploaded' if uploaded else 'Opened'} file {params['name']}",
        roles=Roles.from_json(report["roles"]).to_json(),
        report=report,
        id=folder.name,
    )
    return _opened(dataset.id, source if uploaded else None)


def _opened(id: str, upload: Path | None) -> dict:
    """Say which data set was opened; the upload it came from is not needed any more."""
    if upload is not None:
        upload.unlink(missing_ok=True)
    return {"dataset": id}


def demo(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Open a built-in data set; made once and kept, so that it opens at once from then on.

    Parameters
    ----------
    params
        `name`: one of `dynamics.demo.DEMOS`; `only_build`: make it, but do not open it.
    """
    name = params["name"]
    if name not in demos.DEMOS:
        raise SettingsError(f"There is no demo called “{name}”; there are {', '.join(demos.DEMOS)}.")
    workspace, about = workspace_of(folder), demos.DEMOS[name]
    if workspace.has_dataset(folder.name):
        return _opened(folder.name, None)
    kept = _kept_demo(workspace, name, progress=progress)
    if params.get("only_build"):
        return {}
    return _opened(shipped.open_demo(workspace, name, title=about.title, made=kept, id=folder.name).id, None)


def prepare(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Prepare a data set: quality control to embedding, as the settings say; the opened file stays as it is.

    Parameters
    ----------
    params
        `dataset`: its id; `config`: settings of `dynamics.preprocess.PrepareConfig` by name.
    """
    workspace = workspace_of(folder)
    dataset = workspace.dataset(params["dataset"])
    config = preprocess.PrepareConfig.from_mapping(params["config"])
    say(progress, 0.0, "Reading the data")
    adata = read.read_h5ad(dataset.opened)
    roles = _roles_of(adata, Roles.from_json(dataset.roles))
    prepared = preprocess.prepare(adata, config, roles=roles, progress=share(progress, 0.05, 0.95))
    say(progress, 0.95, "Writing the data")
    roles = _roles_of(prepared, Roles.from_json(workspace.dataset(dataset.id).roles))
    report = inspect.inspect(prepared, roles=roles).to_json()
    fresh = dataset.folder / f".prepared.h5ad.{os.getpid()}.tmp"
    try:
        read.write_h5ad(with_gene_states(prepared, roles), fresh)
        workspace.add_prepared(dataset.id, fresh, roles=roles.to_json(), report=report)
    finally:
        fresh.unlink(missing_ok=True)
    return {"dataset": dataset.id}


# what the tasks share


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace that a job's folder is in."""
    return Workspace(folder.parents[1])


def fresh_folder(folder: Path) -> Path:
    """Make an empty folder; what an earlier attempt left there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def say(progress: Progress, fraction: float, message: str) -> None:
    """Report where the work is.

    Raises
    ------
    Stopped
        The user stopped it.
    """
    if not progress(fraction, message):
        raise Stopped


def _roles_of(adata: "AnnData", before: Roles) -> Roles:
    """Return the user's roles for these data, before or after preparing, with what preparing made."""
    found, done = detect(adata), _steps_done(adata)
    picked = {role: name for role, (step, name) in COMPUTED.items() if step in done}
    for role in COMPUTED:
        if role not in picked and getattr(before, role) not in adata.obsm:
            picked[role] = getattr(found, role)
    picked["counts_layer"] = found.counts_layer
    reasons = {role: f"computed by preparing ({name})" for role, name in picked.items() if role in COMPUTED}
    reasons |= {role: found.reasons[role] for role in picked if role in found.reasons}
    return replace(before, **picked, reasons={**before.reasons, **reasons})


def _steps_done(adata: "AnnData") -> set[str]:
    record = adata.uns.get(preprocess.RECORD_KEY, {}).get("steps", "[]")
    return {step["name"] for step in json.loads(record) if step["action"] == "do"}


# demos


def ship_demos() -> None:
    """Make the demos with the installation, so that the first click on one opens it at once."""
    for name in demos.DEMOS:
        place = shipped.place(name)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _build_demo(name, place, progress=no_progress)


def _kept_demo(workspace: Workspace, name: str, *, progress: Progress) -> Path:
    """Return the folder of a ready demo, made now if this version has not made it yet."""
    if shipped.place(name).exists():
        return shipped.place(name)
    place = workspace.home / "demos" / shipped.place(name).name
    if not place.exists():
        with _alone(place.with_name(f"{name}.lock"), progress):
            if not place.exists():
                _build_demo(name, place, progress=progress)
    return place


def _build_demo(name: str, place: Path, *, progress: Progress) -> None:
    fresh = fresh_folder(place.with_name(f".{place.name}.part"))
    say(progress, 0.02, "Simulating cells")
    adata = demos.make_demo(name)
    read.write_h5ad(adata, fresh / "data.h5ad")
    adata = read.read_h5ad(fresh / "data.h5ad")
    roles = detect(adata)
    if roles.rep is None or roles.embedding is None:
        config = preprocess.PrepareConfig()
        adata = preprocess.prepare(adata, config, roles=roles, progress=share(progress, 0.2, 0.95))
        roles = _roles_of(adata, roles)
        read.write_h5ad(with_gene_states(adata, roles), fresh / "prepared.h5ad")
    report = inspect.inspect(adata, roles=roles).to_json()
    write_json(fresh / "found.json", {"roles": roles.to_json(), "report": report})
    for old in place.parent.glob(f"{name}-*"):
        shutil.rmtree(old)
    fresh.rename(place)


@contextmanager
def _alone(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock, so that two jobs do not make the same; the second waits for the first."""
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                say(progress, 0.01, "Waiting for the same demo, which is being made already")
                time.sleep(LOOK_S)
        yield
