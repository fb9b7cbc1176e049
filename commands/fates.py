"""The command that tells what cells become: fates."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from commands import shared
from commands.terminal import progress_line, show
from dynamics import clones, fate_results, fates, prior_growth, proposals, read, terminal, transitions
from dynamics.errors import DataError, DynamicsError, SettingsError
from dynamics.fate_tables import table_by_type
from jobs.workspace import write_whole

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

CHOICES = ("auto", "types", "flow", "ends")


def add(commands) -> None:
    """Add the command to the command line."""
    telling = shared.command(commands, run_fates, "FILE", "MODEL", output=".h5ad")
    telling.add_argument(
        "--terminal",
        action="append",
        default=[],
        metavar="STATE",
        help='a terminal state as "NAME=COLUMN:VALUE" (cells of the last time), several times; a JSON file '
        f"of states; or one of {', '.join(CHOICES)} (default: auto, proposed from the data)",
    )
    telling.add_argument(
        "--growth",
        choices=transitions.GROWTH,
        default="auto",
        help="where growth is taken from (default: the model where it knows growth, else none)",
    )
    telling.add_argument(
        "--draws",
        type=int,
        default=fates.DRAWS,
        help="paths drawn for each cell by a model with noise (default: %(default)s)",
    )
    telling.add_argument("--csv", type=Path, metavar="OUT.csv", help="also write one row for each cell")
    telling.add_argument("--clone-key", metavar="KEY", help="obs column, or obsm key, that holds the clones")


def run_fates(options: argparse.Namespace) -> None:
    """Tell the fate probabilities of all cells, with the terminal states that the data speak for."""
    adata, picked, model, shots = shared.opened_with_model(options)
    if options.growth == "genes":
        shots = prior_growth.with_prior_growth(shots, adata, picked)
    labels = types_of(adata, picked, shots)
    built = transitions.chains(model, shots, growth=options.growth)
    states = asked_states(options.terminal, adata, shots, model=model, chain=built[0], labels=labels)
    found = fates.fate_probabilities(
        shots,
        model,
        states,
        chains_of=built,
        draws=options.draws,
        seed=options.seed,
        progress=progress_line(options),
    )
    read.write_h5ad(fate_results.write_fates(adata, found, states, shots, model=model), options.output)
    if options.csv:
        table = fate_results.by_cell(found, shots, adata.obs_names, labels=labels)
        write_whole(options.csv, fate_results.csv(table).encode())
    told = fate_results.summary(found, states) | {"file": str(options.output)}
    told["growth_note"] = prior_growth.deaths_unknown(adata) if options.growth == "genes" else ""
    told["growth_warning"] = fates.growth_warning(found, labels)
    told["clones"] = _clones(options.clone_key or picked.clone_key, adata, shots, found=found, states=states)
    table = table_by_type(found, shots, labels)
    told["types"] = json.loads(table.to_json(orient="records"))
    show(options, told, _lines(told))


def types_of(adata: "AnnData", picked: "Roles", shots: "Snapshots") -> Any:
    """Return the cell type of each cell of the snapshots, as categories; None where there are none."""
    if picked.cell_type_key is None:
        return None
    return adata.obs[picked.cell_type_key].astype("category").iloc[shots.cells]


def asked_states(
    asked: list[str],
    adata: "AnnData",
    shots: "Snapshots",
    *,
    model: Any,
    chain: transitions.Transitions,
    labels: Any,
) -> terminal.TerminalStates:
    """Return the terminal states that the command line names, or those proposed.

    Raises
    ------
    SettingsError, DataError
        A word of the command line is no state, or names no cell.
    """
    if not asked or asked == ["auto"]:
        return proposals.propose(model, shots, chain, labels=labels)
    if asked == ["types"]:
        if labels is None:
            raise DataError("There are no cell types to take as terminal states. Name their column.")
        return proposals.from_types(chain, shots, labels)
    if asked == ["flow"]:
        return proposals.from_flow(chain, shots, labels=labels)
    if asked == ["ends"]:
        return proposals.from_ends(model, shots, labels=labels)
    if len(asked) == 1 and asked[0].endswith(".json"):
        return _from_file(Path(asked[0]), shots)
    states = terminal.empty(shots.n_cells)
    for word in asked:
        name, cells = _cells_asked(word, adata, shots, last=chain.rows[-1])
        states = terminal.pick(states, name, cells)
    return states


def _from_file(path: Path, shots: "Snapshots") -> terminal.TerminalStates:
    if not path.is_file():
        raise SettingsError(f"There is no file {path} with terminal states. Check its name and folder.")
    try:
        values = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{path} is not a JSON file ({problem}).") from None
    return terminal.from_json(values, shots)


def _cells_asked(
    word: str, adata: "AnnData", shots: "Snapshots", *, last: np.ndarray
) -> tuple[str, np.ndarray]:
    """Read "NAME=COLUMN:VALUE": the name, and the cells of the last time that have the value."""
    name, equals, condition = word.partition("=")
    column, colon, value = condition.partition(":")
    if not (name.strip() and equals and column and colon):
        raise SettingsError(
            f"--terminal '{word}' is no terminal state: write NAME=COLUMN:VALUE, such as "
            f"Erythroid=cell_type:Erythroid, the name of a .json file, or one of {', '.join(CHOICES)}."
        )
    rows = shared.chosen_rows(adata, f"{column}={value}")
    cells = last[np.isin(shots.cells[last], rows)]
    if not len(cells):
        raise DataError(
            f"No cell of the last time has {column} = '{value}'; {len(rows):,} cells of other times or "
            "without a time do. Choose a terminal state that is there at the last time."
        )
    return name.strip(), cells


def _clones(
    key: str | None,
    adata: "AnnData",
    shots: "Snapshots",
    *,
    found: fates.Fates,
    states: terminal.TerminalStates,
) -> list[dict[str, Any]]:
    """Score the fates of every earlier time by clones, or say why that cannot be."""
    if key is None:
        return []
    codes = clones.clone_codes(adata, key, shots.cells)
    told = []
    for at in range(shots.n_times - 1):
        try:
            scores = clones.score_clones(found, shots, states, codes, at=at)
        except DynamicsError as refusal:
            told.append({"time": shots.axis.name(at), "refused": str(refusal)})
            continue
        told.append(
            {
                "time": scores.time,
                "n_clones": scores.n_clones,
                "n_early": scores.n_early,
                "n_late": scores.n_late,
                "auroc": _plain(scores.auroc),
                "pearson": _plain(scores.pearson),
                "spearman": _plain(scores.spearman),
                "distance": scores.distance,
            }
        )
    return told


def _plain(values: dict[str, np.ndarray]) -> dict[str, list[float | None]]:
    return {
        kind: [float(one) if np.isfinite(one) else None for one in scores] for kind, scores in values.items()
    }


def _lines(told: dict[str, Any]) -> list[str]:
    """Return the result in lines for people."""
    lines = [
        f"terminal state {one['name']}: {one['n_cells']:,} cells; {one['reason']}"
        for one in told["terminal_states"]
    ]
    lines += [f"left out {one['name']}: {one['reason']}" for one in told["left_out"]]
    growth = {"none": "no growth known", "model": "growth of the model", "genes": "growth from genes"}
    means = ", ".join(f"{name} {mean:.0%}" for name, mean in zip(told["names"], told["mean"], strict=False))
    lines.append(
        f"fates of {told['n_cells'] - told['n_without_fate']:,} cells ({growth[told['growth']]}): {means}"
    )
    lines += [text for text in (told["message"], told["growth_note"], told["growth_warning"]) if text]
    for one in told["clones"]:
        lines.append(
            one.get("refused")
            or f"clones from {one['time']}: distance {one['distance']['model']:.2f} (ceiling "
            f"{one['distance']['ceiling']:.2f}, chance {one['distance']['chance']:.2f}; "
            f"{one['n_clones']} clones)"
        )
    return [*lines, f"wrote {told['file']}"]
