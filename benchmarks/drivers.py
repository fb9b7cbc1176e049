"""Driver genes of the built-in demo against the simulator's network, their cost, and real data.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.drivers ../shared/data [--seeds 0 1 2] [--write]

Truth: the factor that wins the switch of each fate (`blood_genes.DECIDED_BY`) and the genes that it activates
(`uns["true_network"]`). Direct: share of the first genes of the list that are among these. Downstream: those
and the genes that such genes activate in turn. Decoys: to the counts are added copies of 60 genes, each
shuffled over the cells of a day, before anything is prepared, so that they go through the components, the
model and the fates like any gene; a decoy that is called is a false one.
"""

import argparse
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks import results
from benchmarks.fates import prepared, said, told
from dynamics import basis, blood
from dynamics.blood_genes import DECIDED_BY
from dynamics.driver_contrasts import ALL, EACH, drivers_of
from dynamics.drivers import drivers
from models.config import TrainConfig
from models.train import fit

MEMBERS, DECOYS, FIRST = 5, 60, (10, 20)
SOURCE = "Known: genes that textbooks give for the type."
KNOWN = {
    "larry_clones_small": {
        "Neutrophil": ("S100a8", "S100a9", "Lcn2", "Ngp", "Camp", "Ltf", "Elane", "Cebpe", "Gfi1"),
        "Baso": ("Mcpt8", "Prss34", "Gata2", "Gata1"),
        "Mast": ("Cma1", "Tpsb2", "Fcer1a", "Gata2", "Gata1"),
        "Monocyte": ("Csf1r", "Ly86", "Ccr2", "F13a1", "Irf8"),
    },
    "reprogramming_3day": {
        "Stromal": ("Col1a1", "Col1a2", "Col3a1", "Fn1"),
        "Epithelial": ("Epcam", "Cdh1", "Krt8", "Krt18"),
        "Trophoblast": ("Krt8", "Krt18", "Krt19"),
        "IPS": ("Nanog", "Zfp42", "Dppa5a"),
    },
    "celegans_embryo_counts": {
        "AWC": ("ceh-36",),
        "AWB": ("lim-4",),
        "AWA": ("odr-7", "odr-10"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    lines = said(
        "| seed | fate | against | cells | switch: rank (effect, 80 %) | direct at 10 | at 20 "
        "| downstream at 10 | at 20 | decoys called | of all called |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    )
    for seed in options.seeds:
        lines += demo(seed)
    lines += ["", *cost()]
    for name in KNOWN:
        lines += ["", *real(options.folder, name)]
    if options.write:
        command = "OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.drivers ../shared/data --write"
        results.write("Driver genes", command, lines)


def with_decoys(adata: anndata.AnnData, *, seed: int) -> anndata.AnnData:
    """Add copies of genes that are shuffled over the cells of each day."""
    rng = np.random.default_rng(seed)
    picked = rng.choice(adata.n_vars, DECOYS, replace=False)
    counts = adata.X[:, picked].toarray()
    days = adata.obs["day"].to_numpy()
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        counts[rows] = rng.permuted(counts[rows], axis=0)
    genes = [*adata.var_names, *(f"decoy-{adata.var_names[k]}" for k in picked)]
    matrix = sparse.csr_matrix(sparse.hstack([adata.X, sparse.csr_matrix(counts)]))
    more = anndata.AnnData(matrix, obs=adata.obs.copy(), var=pd.DataFrame(index=genes))
    more.layers["counts"] = matrix.copy()
    more.uns |= adata.uns
    return more


def trained(adata: anndata.AnnData, *, seed: int) -> tuple:
    """Train on a data set as the app does; return what drivers are told from."""
    adata, picked, shots, kinds = prepared(adata)
    expression = basis.log_expression(adata, picked)[shots.cells]
    model = fit(shots, TrainConfig("ot-cfm", seed=seed, members=MEMBERS))
    fates, _ = told(model, shots, kinds)
    names = {"genes": list(adata.var_names), "fates": fates.names}
    return (expression, fates.probabilities, shots.times), names | {"by_member": fates.by_member}


def demo(seed: int) -> list[str]:
    """Score the drivers of the demo, over all cells and among the undecided ones."""
    plain = blood.simulate(seed=seed)
    network = plain.uns["true_network"]
    data, names = trained(with_decoys(plain, seed=100 + seed), seed=seed)
    rows = []
    for against, undecided in ((EACH, False), (EACH, True), (ALL, False), (ALL, True)):
        which = "undecided" if undecided else "all"
        for (winner, _), fate in zip(DECIDED_BY, plain.uns["true_fate_names"], strict=True):
            if fate in names["fates"]:
                options = names | {"against": against, "undecided": undecided}
                found = drivers_of(*data, fate=str(fate), **options)
                label = f"{seed} | {fate} | {against} | {which}"
                rows += said(scored(found, str(fate), winner, network, label=label))
    return rows


def scored(found, fate: str, winner: str, network: pd.DataFrame, *, label: str) -> str:
    """Return the row of one fate."""
    direct = {winner, *activated(network, {winner})}
    downstream = direct | activated(network, direct)
    k = found.genes.index(winner)
    order = [found.genes[j] for j in found.top(fate, len(found.genes))]
    decoy = np.array([gene.startswith("decoy-") for gene in found.genes])
    shares = [sum(gene in known for gene in order[:n]) / n for known in (direct, downstream) for n in FIRST]
    place = order.index(winner) + 1
    effect = f"{found.effect[0, k]:.2f}, {found.low[0, k]:.2f} to {found.high[0, k]:.2f}"
    called = found.called[0]
    false = f"{called[decoy].mean():.0%} | {called[decoy].sum() / max(called.sum(), 1):.1%}"
    precision = " | ".join(f"{share:.0%}" for share in shares)
    return f"| {label} | {winner}: {place} ({effect}) | {precision} | {false} |"


def activated(network: pd.DataFrame, by: set[str]) -> set[str]:
    return set(network.loc[network["regulator"].isin(by) & (network["sign"] > 0), "target"])


def cost() -> list[str]:
    """Time the drivers of 17,000 cells, for 2,000 and for 20,000 genes."""
    rng, n = np.random.default_rng(0), 17_000
    fates = rng.dirichlet([1, 1, 1], n)
    members = np.stack([fates] * MEMBERS)
    lines = []
    for n_genes in (2_000, 20_000):
        cells = sparse.random(n, n_genes, 0.1, format="csr", dtype=np.float32, random_state=1)
        began = time.process_time()
        drivers(
            cells,
            fates,
            np.repeat(np.arange(5), n // 5),
            genes=[str(k) for k in range(n_genes)],
            fates=("a", "b", "c"),
            by_member=members,
        )
        seconds = time.process_time() - began
        lines += said(
            f"{n_genes:,} genes × {n:,} cells, a tenth not zero, 3 fates, {MEMBERS} members: {seconds:.1f} s "
            "of processor time."
        )
    return lines


def real(folder: Path, name: str) -> list[str]:
    """Name the first drivers of each fate of a real data set, and where known genes of the type are."""
    data, names = trained(anndata.read_h5ad(folder / f"{name}.h5ad"), seed=0)
    began = time.process_time()
    found = {
        (fate, against): drivers_of(*data, fate=fate, against=against, **names)
        for fate in names["fates"]
        for against in (EACH, ALL)
    }
    seconds = time.process_time() - began
    lines = said(
        f"{name}: {len(names['genes']):,} genes, {data[0].shape[0]:,} cells, {len(names['fates'])} fates, "
        f"{seconds:.1f} s of processor time in all. {SOURCE}"
    )
    for (fate, against), one in found.items():
        order = [one.genes[k] for k in one.top(fate, len(one.genes))]
        known = sorted((gene for gene in KNOWN[name].get(fate, ()) if gene in order), key=order.index)
        ranks = ", ".join(f"{gene} {order.index(gene) + 1}" for gene in known)
        lines += said(
            f"- {fate}, against {against}: {', '.join(order[: FIRST[0]])}. Known, by rank: "
            f"{ranks or 'none named'}. {int(one.called.sum()):,} hold up."
        )
    return lines


if __name__ == "__main__":
    main()
