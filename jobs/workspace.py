"""The workspace: the folder with a user's data sets, models and jobs, and how things get into it whole."""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dynamics import faults
from dynamics.disk import make_folder, move, to_disk, tree_to_disk, write_whole
from dynamics.errors import DataError, JobError, ModelError
from jobs import digests

ID = re.compile(r"[0-9a-z]{8,40}")
HOME_VARIABLE = "DRIFTSCOPE_HOME"
ABOUT = {"name", "origin", "created"}
FOUND, NEXT = "found.json", "found.next.json"
"""Roles and report of a data set; what they become with the prepared file that is on its way."""


def default_home() -> Path:
    """Return the workspace folder: `$DRIFTSCOPE_HOME`, else `~/.driftscope`."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".driftscope").expanduser()


def new_id() -> str:
    """Return an unguessable name for a data set, model or job, as it stands in addresses."""
    return secrets.token_hex(10)


def write_json(path: Path, content: Mapping) -> None:
    """Write a JSON file whole."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False).encode())


@dataclass(frozen=True)
class Dataset:
    """An opened data set: a clean copy of the file, what was found in it, and its roles as the user set them.

    `roles` and `report` are what `to_json` of `dynamics.roles.Roles` and `dynamics.inspect.Report` gives.
    """

    id: str
    name: str
    origin: str
    created: float
    folder: Path
    roles: Mapping
    report: Mapping

    @property
    def opened(self) -> Path:
        """The data as opened."""
        return self.folder / "data.h5ad"

    @property
    def prepared(self) -> Path:
        """The data after preparation; may not exist."""
        return self.folder / "prepared.h5ad"

    @property
    def file(self) -> Path:
        """The data to work with: prepared where that was done, else as opened."""
        return self.prepared if self.prepared.exists() else self.opened


@dataclass(frozen=True)
class ModelEntry:
    """A trained model in the library: its file, and what is known about its making beside the file itself.

    `about` holds what may differ between two runs of the same recipe: when, how long, on which data set.
    """

    id: str
    name: str
    created: float
    path: Path
    dataset: str | None
    about: Mapping


class Workspace:
    """The folders of one home: `datasets/`, `models/`, `jobs/`, `uploads/`, `demos/`, `trash/`."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = (home or default_home()).absolute()
        try:
            for name in ("datasets", "models", "jobs", "uploads", "demos", "trash"):
                make_folder(self.home / name, mode=0o700)
        except OSError as error:
            raise JobError(
                f"The workspace folder {self.home} cannot be used ({error.strerror}). Make room there, let "
                "the account that runs Driftscope write to it, or choose another folder with --home."
            ) from error

    # data sets

    def datasets(self) -> list[Dataset]:
        """Return all data sets, newest first."""
        found = [self._read_dataset(folder) for folder in (self.home / "datasets").iterdir()]
        return sorted((dataset for dataset in found if dataset), key=lambda it: -it.created)

    def dataset(self, id: str) -> Dataset:
        """Return one data set.

        Raises
        ------
        DataError
            There is no such data set, or it was deleted.
        """
        found = self._read_dataset(self.home / "datasets" / id) if ID.fullmatch(id) else None
        if found is None:
            raise DataError("This data set is not in the workspace any more. Open it again on the Data page.")
        return found

    def has_dataset(self, id: str) -> bool:
        """Say whether there is a data set of this id."""
        return bool(ID.fullmatch(id)) and self._read_dataset(self.home / "datasets" / id) is not None

    def add_dataset(
        self,
        folder: Path,
        *,
        name: str,
        origin: str,
        roles: Mapping,
        report: Mapping,
        id: str | None = None,
    ) -> Dataset:
        """Take over a finished folder that holds `data.h5ad` (and perhaps `prepared.h5ad`)."""
        id = id or new_id()
        about = {"name": name, "origin": origin, "created": time.time()}
        write_json(folder / "about.json", about)
        write_json(folder / FOUND, {"roles": roles, "report": report})
        digests.note(folder, anew=True)
        tree_to_disk(folder)
        self._move(folder, self.home / "datasets" / id)
        return self.dataset(id)

    def add_prepared(self, id: str, file: Path, *, roles: Mapping, report: Mapping) -> Dataset:
        """Take over a prepared file together with its roles and report: both change at one moment.

        Parameters
        ----------
        file
            Stands in the folder of the data set.
        """
        known, found = self.dataset(id), {"roles": roles, "report": report}
        to_disk(file)
        write_json(known.folder / NEXT, found | {"of": _mark(file)})
        move(file, known.prepared)  # from here on `NEXT` counts
        write_json(known.folder / FOUND, found)
        (known.folder / NEXT).unlink()
        digests.note(known.folder)
        return self.dataset(id)

    def update_dataset(
        self, id: str, *, roles: Mapping | None = None, report: Mapping | None = None
    ) -> Dataset:
        """Keep changed roles or a new report."""
        known = self.dataset(id)
        changed = replace(known, roles=roles or known.roles, report=report or known.report)
        write_json(known.folder / FOUND, {"roles": changed.roles, "report": changed.report})
        (known.folder / NEXT).unlink(missing_ok=True)
        return changed

    def rename_dataset(self, id: str, name: str) -> None:
        """Give a data set another name."""
        known = self.dataset(id)
        about = {"name": name, "origin": known.origin, "created": known.created}
        write_json(known.folder / "about.json", about)

    def delete_dataset(self, id: str) -> None:
        """Move a data set to the trash, from where `restore_dataset` brings it back."""
        self._move(self.dataset(id).folder, self.home / "trash" / id)

    def restore_dataset(self, id: str) -> Dataset:
        """Bring a deleted data set back; one that is back already stays as it is."""
        kept = self.home / "trash" / id
        if ID.fullmatch(id) and kept.is_dir() and not self.has_dataset(id):
            self._move(kept, self.home / "datasets" / id)
        return self.dataset(id)

    def _read_dataset(self, folder: Path) -> Dataset | None:
        about, found = _read_json(folder / "about.json"), _read_json(folder / FOUND)
        if (folder / NEXT).exists():  # the end of preparing was cut short
            coming = _read_json(folder / NEXT)
            found = coming if coming and coming.get("of") == _mark(folder / "prepared.h5ad") else found
        if (
            about is None
            or found is None
            or not about.keys() >= ABOUT
            or not {"roles", "report"} <= found.keys()
        ):
            return None
        known = {name: about[name] for name in ABOUT} | {name: found[name] for name in ("roles", "report")}
        return Dataset(id=folder.name, folder=folder, **known)

    # models

    def models(self, dataset: str | None = None) -> list[ModelEntry]:
        """Return the models of the library (of one data set), newest first."""
        found = [self._read_model(path) for path in (self.home / "models").glob("*.safetensors")]
        chosen = [entry for entry in found if dataset is None or entry.dataset == dataset]
        return sorted(chosen, key=lambda it: -it.created)

    def has_model(self, id: str) -> bool:
        """Say whether there is a model of this id."""
        return bool(ID.fullmatch(id)) and (self.home / "models" / f"{id}.safetensors").exists()

    def model(self, id: str) -> ModelEntry:
        """Return one model.

        Raises
        ------
        ModelError
            There is no such model, or it was deleted.
        """
        if not self.has_model(id):
            raise ModelError(
                "This model is not in the library any more. Choose another one, or train it again."
            )
        return self._read_model(self.home / "models" / f"{id}.safetensors")

    def add_model(
        self,
        file: Path,
        *,
        name: str,
        dataset: str | None,
        about: Mapping | None = None,
        id: str | None = None,
    ) -> ModelEntry:
        """Take over a finished model file."""
        path = self.home / "models" / f"{id or new_id()}.safetensors"
        content = {"name": name, "created": time.time(), "dataset": dataset, "about": dict(about or {})}
        write_json(path.with_suffix(".json"), content)
        to_disk(file)
        move(file, path)
        return self._read_model(path)

    def rename_model(self, id: str, name: str) -> None:
        """Give a model another name in the library; the file itself stays as it is."""
        self._keep_model(replace(self.model(id), name=name))

    def describe_model(self, id: str, **about: object) -> None:
        """Add to what is known about a model's making and quality; the file itself stays as it is."""
        entry = self.model(id)
        self._keep_model(replace(entry, about={**entry.about, **about}))

    def _keep_model(self, entry: ModelEntry) -> None:
        content = {
            "name": entry.name,
            "created": entry.created,
            "dataset": entry.dataset,
            "about": dict(entry.about),
        }
        write_json(entry.path.with_suffix(".json"), content)

    def delete_model(self, id: str) -> None:
        """Move a model to the trash, from where `restore_model` brings it back."""
        self._move_model(self.model(id).path, self.home / "trash")

    def restore_model(self, id: str) -> ModelEntry:
        """Bring a deleted model back."""
        if ID.fullmatch(id):
            self._move_model(self.home / "trash" / f"{id}.safetensors", self.home / "models")
        return self.model(id)

    def _read_model(self, path: Path) -> ModelEntry:
        known = _read_json(path.with_suffix(".json"))
        known = known if isinstance(known, dict) else {}
        usual = {"name": path.stem, "created": path.stat().st_mtime, "dataset": "", "about": {}}
        kinds = {"name": str, "created": int | float, "dataset": str, "about": dict}
        found = {
            key: known[key] if isinstance(known.get(key), kinds[key]) else value
            for key, value in usual.items()
        }
        return ModelEntry(id=path.stem, path=path, **{**found, "dataset": found["dataset"] or None})

    def _move_model(self, path: Path, folder: Path) -> None:
        """Move a model with what lies beside it: to the trash it goes first, out of it last."""
        parts = sorted(path.parent.glob(f"{path.stem}.*"), key=lambda part: (part != path, part.name))
        for part in parts if folder.name == "trash" else reversed(parts):
            self._move(part, folder / part.name)

    def _move(self, source: Path, target: Path) -> None:
        if target.is_dir():
            discard(target)
        faults.at("rename")
        source.rename(target)
        for folder in {target.parent, source.parent}:
            to_disk(folder)


def discard(path: Path) -> None:
    """Remove a file or a folder; a folder is out of sight at once, whatever happens while it is removed."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    hidden = path.with_name(f".{path.name}.{new_id()}.tmp")
    faults.at("rename")
    path.rename(hidden)
    faults.at("rename")
    shutil.rmtree(hidden)


def _mark(file: Path) -> list[int] | None:
    """Return what tells two versions of a file apart; a file that is moved keeps it."""
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return [about.st_size, about.st_mtime_ns]


def _read_json(path: Path) -> dict | None:
    """Return what a JSON file tells; None where it is not there or not a JSON object."""
    try:
        faults.at("read")
        told = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
