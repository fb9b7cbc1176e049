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

from dynamics.disk import move, write_whole
from dynamics.errors import DataError, ModelError
from jobs import digests

ID = re.compile(r"[0-9a-z]{8,40}")
HOME_VARIABLE = "DRIFTSCOPE_HOME"


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
        for name in ("datasets", "models", "jobs", "uploads", "demos", "trash"):
            (self.home / name).mkdir(parents=True, exist_ok=True, mode=0o700)

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

    def add_dataset(
        self, folder: Path, *, name: str, origin: str, roles: Mapping, report: Mapping
    ) -> Dataset:
        """Take over a finished folder that holds `data.h5ad` (and perhaps `prepared.h5ad`)."""
        id = new_id()
        about = {"name": name, "origin": origin, "created": time.time()}
        write_json(folder / "about.json", about)
        write_json(folder / "found.json", {"roles": roles, "report": report})
        digests.note(folder, anew=True)
        folder.rename(self.home / "datasets" / id)
        return self.dataset(id)

    def update_dataset(
        self, id: str, *, roles: Mapping | None = None, report: Mapping | None = None
    ) -> Dataset:
        """Keep changed roles or a new report."""
        known = self.dataset(id)
        changed = replace(known, roles=roles or known.roles, report=report or known.report)
        digests.note(known.folder)
        write_json(known.folder / "found.json", {"roles": changed.roles, "report": changed.report})
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
        """Bring a deleted data set back."""
        self._move(self.home / "trash" / id, self.home / "datasets" / id)
        return self.dataset(id)

    def _read_dataset(self, folder: Path) -> Dataset | None:
        about, found = _read_json(folder / "about.json"), _read_json(folder / "found.json")
        if about is None or found is None:
            return None
        return Dataset(id=folder.name, folder=folder, **about, **found)

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
        known = _read_json(path.with_suffix(".json")) or {}
        return ModelEntry(
            id=path.stem,
            name=known.get("name", path.stem),
            created=known.get("created", path.stat().st_mtime),
            path=path,
            dataset=known.get("dataset"),
            about=known.get("about", {}),
        )

    def _move_model(self, path: Path, folder: Path) -> None:
        for part in sorted(path.parent.glob(f"{path.stem}.*")):
            self._move(part, folder / part.name)

    def _move(self, source: Path, target: Path) -> None:
        if target.is_dir():
            shutil.rmtree(target)
        source.rename(target)


def _read_json(path: Path) -> dict | None:
    """Return the content of a JSON file; None where it is not there or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
