"""What-if on the built-in demo against the simulator's own knock-outs, the null, and the cost of a screen.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.perturb [--seeds 0] [--write]

Truth: the simulator with the gene's production set to zero, from the same undecided cells (stem cells and
multipotent progenitors of the first three times), six futures of each, compared with the simulator as
it is. Sign: share of the fates that truly move by over 3 % whose change has the true sign. Chosen on seeds
1 to 3, of 4,000 cells: how cells are moved and whether genes are held. Seed 0 is the judge.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from benchmarks import results
from benchmarks.training import branching
from dynamics import (
    basis,
    blood,
    fate_readout,
    perturb,
    perturb_null,
    perturbation,
    preprocess,
    proposals,
    roles,
    screen,
    simulator,
    snapshots,
    terminal,
    transitions,
)
from dynamics.blood_genes import FATES, build_blood
from dynamics.perturbation import LOADING, PLAUSIBLE, GeneChange, Perturbation
from models.config import TrainConfig
from models.train import fit

SWITCH = ("Gata1", "Spi1", "Gfi1", "Irf8")
READINGS = ((PLAUSIBLE, True), (LOADING, True), (PLAUSIBLE, False), (LOADING, False))
N_CELLS, CELLS, REPLICATES, MOVED = 4000, 240, 6, 0.03
MEMBERS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--no-cost", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    lines = [line for seed in options.seeds for line in demo(seed)]
    if not options.no_cost:
        lines += ["", *cost()]
    if options.write:
        results.write("What if", "OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.perturb --write", lines)


def demo(seed: int) -> list[str]:
    """Compare with the simulator, by every reading and in detail for the usual one."""
    raw, hidden = blood.simulate(seed=seed, n_cells=N_CELLS), hidden_states(seed)
    place = {name: k for k, name in enumerate(raw.obs_names)}
    adata = preprocess.prepare(raw)
    picked = roles.detect(adata)
    shots = snapshots.from_anndata(adata, picked)
    kinds = adata.obs[picked.cell_type_key].astype("category").iloc[shots.cells]
    model = fit(
        shots,
        TrainConfig("ot-cfm", seed=seed, members=MEMBERS),
        basis=basis.from_anndata(adata, picked, shots),
    )
    built = transitions.chains(model, shots, growth="none")
    states = proposals.propose(model, shots, built[0], labels=kinds)
    told = fate_readout.readout(model, shots, states, chains_of=built)
    around = perturbation.surroundings(shots, model.basis)
    rows = undecided(shots, np.asarray(kinds.astype(str)))
    x = hidden[[place[name] for name in adata.obs_names[shots.cells[rows]]]]
    genes, truth = knocked_out(x)
    order = [states.names.index(name) for name in FATES]
    where = {"states": shots.states[rows], "times": shots.times[rows]}
    lines = said(
        f"Seed {seed}: {shots.n_cells:,} cells, {shots.dim} dimensions, {len(rows)} undecided cells, "
        f"{len(genes)} regulators knocked out. The usual reading is the first.",
        "",
        "| cells moved to | held | correlation | sign right | of the switch genes |",
        "|---|---|---|---|---|",
    )
    before = fate_readout.outcome(perturb_null.OneMember(model.members[0]), told, **where)
    for move, held in READINGS:
        ask = Perturbation((GeneChange("any"),), move=move, held=held)
        change = knocked(model, told, around, genes=genes, ask=ask, before=before, **where)[:, order]
        lines += said(f"| {move} | {'yes' if held else 'no'} | {agreement(change, truth, genes)} |")
    detail = (model, told, around)
    return [
        *lines,
        *switches(detail, genes, truth, order=order, where=where),
        *quiet(detail, where=where, before=before),
    ]


def hidden_states(seed: int) -> np.ndarray:
    """Return the simulator's own states of all cells, as `blood.simulate` draws them."""
    samples = blood._culture(build_blood(), N_CELLS, np.random.default_rng(seed))
    return np.concatenate([sample.x for sample in samples])


def undecided(shots: snapshots.Snapshots, kinds: np.ndarray) -> np.ndarray:
    early = np.isin(kinds, ("Stem cell", "Multipotent progenitor")) & (shots.time_index < 3)
    rows = np.flatnonzero(early)
    return np.sort(np.random.default_rng(5).choice(rows, min(CELLS, len(rows)), replace=False))


def knocked_out(x: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the regulators and the true change of fates of each knock-out, (g, n_fates)."""
    made = build_blood()
    network = made.network
    genes, changes = list(network.genes[: network.n_regulators]), []
    before = futures(made, network, x)
    for k in range(len(genes)):
        basal, activation = network.basal.copy(), network.activation.copy()
        basal[k] = activation[:, k] = 0
        changes.append(futures(made, replace(network, basal=basal, activation=activation), x) - before)
    return genes, np.stack(changes)


def futures(made, network: simulator.GeneNetwork, x: np.ndarray) -> np.ndarray:
    return simulator.fate_probabilities(
        network,
        x,
        lambda state: blood.decided(made, state),
        n_fates=len(FATES),
        n_replicates=REPLICATES,
        days=15.0,
        rng=np.random.default_rng(1),
    ).mean(axis=0)


def knocked(model, told, around, *, genes, ask, before, states, times) -> np.ndarray:
    columns = around.basis.columns(genes)
    level = (states @ around.basis.loadings[:, columns] + around.basis.mean[columns]).T
    moves = perturb_null.Moves(columns, np.minimum(-level.astype(np.float64), 0))
    given = {"states": states, "times": times, "before": before, "perturbation": ask}
    return perturb_null.many(model.members[0], told, around, moves=moves, **given)[0]


def agreement(change: np.ndarray, truth: np.ndarray, genes: list[str]) -> str:
    moved = np.abs(truth) > MOVED
    right = np.sign(change) == np.sign(truth)
    switch = moved & np.isin(genes, SWITCH)[:, None]
    r = np.corrcoef(change.ravel(), truth.ravel())[0, 1]
    return f"{r:.2f} | {right[moved].mean():.0%} of {moved.sum()} | {right[switch].sum()} of {switch.sum()}"


def switches(detail: tuple, genes: list[str], truth: np.ndarray, *, order: list[int], where: dict) -> list:
    """Tell effect, interval and null of the switch genes."""
    lines = said(
        "",
        f"Fates in the order {', '.join(FATES)}; intervals: {MEMBERS} members, bootstrap over cells.",
        "",
        "| knock-out | true change | change | 80 % interval | share of random genes doing as much | off |",
        "|---|---|---|---|---|---|",
    )
    for gene in SWITCH:
        ask = Perturbation((GeneChange(gene),))
        found = perturb.effect(*detail, perturbation=ask, **where)
        random = perturb_null.null(*detail, perturbation=ask, **where)
        band = ", ".join(
            f"{a:+.2f} to {b:+.2f}" for a, b in zip(found.low[order], found.high[order], strict=True)
        )
        real, change = (
            " ".join(f"{value:+.2f}" for value in values)
            for values in (truth[genes.index(gene)], found.change[order])
        )
        share = " ".join(f"{value:.2f}" for value in random.p[order])
        lines += said(f"| {gene} | {real} | {change} | {band} | {share} | {found.off:.0%} |")
    return lines


def quiet(detail: tuple, *, where: dict, before: fate_readout.Outcome) -> list[str]:
    """Tell how often a gene of the panel is called against random genes of equal variance."""
    model, told, around = detail
    columns = perturb_null.eligible(around)
    names = [around.basis.genes[k] for k in columns]
    ask = Perturbation((GeneChange("any"),))
    change = knocked(model, told, around, genes=names, ask=ask, before=before, **where)
    p = []
    for k, column in enumerate(columns):
        alike = perturb_null.matched(around, int(column), n=perturb_null.N_RANDOM, besides=columns[[k]])
        null = change[np.searchsorted(columns, alike)]
        p.append(((np.abs(null) >= np.abs(change[k])).sum(axis=0) + 1) / (len(null) + 1))
    rate = (np.array(p) <= perturb.CALLED).mean(axis=0)
    shares = ", ".join(f"{name} {value:.1%}" for name, value in zip(told.names, rate, strict=True))
    return said(
        "",
        f"Null: of {len(columns)} genes, each against its {perturb_null.N_RANDOM} most alike, called at "
        f"p ≤ {perturb.CALLED:g}: {shares}.",
    )


def cost() -> list[str]:
    """Time a screen of 2,000 genes among 17,000 cells at five times in 30 dimensions."""
    shots = branching(30)
    rng = np.random.default_rng(0)
    loadings = rng.normal(0, 0.1, (30, 2000)).astype(np.float32)
    ones = np.ones(2000, np.float32)
    genes = basis.StateBasis(tuple(f"g{k}" for k in range(2000)), loadings, ones, ones.copy())
    model = fit(shots, TrainConfig("ot-cfm", {"steps": 300}), basis=genes)
    last = shots.rows(shots.n_times - 1)
    right = shots.states[last, 0] > np.median(shots.states[last, 0])
    states = terminal.pick(terminal.empty(shots.n_cells), "right", last[right])
    states = terminal.pick(states, "left", last[~right])
    began = time.process_time()
    told = fate_readout.readout(model, shots, states)
    around = perturbation.surroundings(shots, genes)
    cells = perturb.chosen(shots, shots.rows(0))
    ready = time.process_time() - began
    ask = Perturbation((GeneChange("any", "shift", -1.0),))
    found = screen.screen(model, told, around, states=cells[0], times=cells[1], fate="left", perturbation=ask)
    seconds = time.process_time() - began
    return said(
        f"Cost: {shots.n_cells:,} cells, {shots.n_times} times, {shots.dim} dimensions: a screen of "
        f"{len(found.genes):,} genes on {found.n_cells} cells of the first time each takes {seconds:.0f} s "
        f"of processor time, {ready:.0f} s of them to prepare."
    )


def said(*lines: str) -> list[str]:
    """Print lines and return them."""
    print(*lines, sep="\n", flush=True)
    return list(lines)


if __name__ == "__main__":
    main()
