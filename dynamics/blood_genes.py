"""The genes and the gene network of the built-in example: simplified blood formation.

The switches are those of the literature: Gata1 against Spi1 (PU.1), then Gfi1 against Irf8. The targets and
all constants are chosen for a clear example; they were not measured.

References
----------
Krumsiek et al., Hierarchical differentiation of myeloid progenitors is encoded in the transcription factor
network, PLoS ONE 2011. Huang et al., Bifurcation dynamics in lineage-commitment in bipotent progenitor cells,
Developmental Biology 2007. Laslo et al., Multilineage transcriptional priming and determination of alternate
hematopoietic cell fates, Cell 2006.
"""

from dataclasses import dataclass

import numpy as np

from dynamics.simulator import Edge, GeneNetwork, build_network

PACE = 0.68  # all turnover rates are multiplied by this: sets how many days the course takes
CONSTANTS_SEED = 2011  # draws the targets' constants; the network is the same whatever the data's seed


@dataclass(frozen=True)
class Regulator:
    """A transcription factor: basal activity, turnover per day, and its level in a stem cell."""

    name: str
    basal: float
    rate: float
    start: float


REGULATORS = (
    Regulator("Hlf", 0.01, 0.8, 1.0),
    Regulator("Mecom", 0.01, 1.2, 0.75),
    Regulator("Meis1", 0.02, 1.2, 0.75),
    Regulator("Hoxa9", 0.02, 1.2, 0.7),
    Regulator("Gata2", 0.02, 1.5, 0.75),
    Regulator("Runx1", 0.25, 1.5, 0.5),
    Regulator("Myc", 0.1, 2.5, 0.3),
    Regulator("E2f1", 0.03, 3.0, 0.15),
    Regulator("Gata1", 0.06, 2.2, 0.12),
    Regulator("Spi1", 0.06, 2.2, 0.12),
    Regulator("Zfpm1", 0.02, 2.0, 0.08),
    Regulator("Tal1", 0.05, 2.0, 0.4),
    Regulator("Klf1", 0.01, 1.4, 0.02),
    Regulator("Gfi1b", 0.02, 1.6, 0.08),
    Regulator("Cebpa", 0.03, 1.8, 0.1),
    Regulator("Gfi1", 0.05, 2.0, 0.06),
    Regulator("Irf8", 0.05, 2.0, 0.06),
    Regulator("Cebpe", 0.01, 1.2, 0.02),
    Regulator("Jun", 0.05, 2.0, 0.1),
    Regulator("Egr1", 0.03, 2.0, 0.05),
    Regulator("Klf4", 0.01, 1.2, 0.02),
)

EDGES = (
    # Leaving the stem cell state: Hlf runs down and takes the stem programme along.
    Edge("Hlf", "Hlf", +1, 0.35, 1.0),
    Edge("Hlf", "Mecom", +1, 4.0, 0.6),
    Edge("Hlf", "Meis1", +1, 3.0, 0.6),
    Edge("Meis1", "Hoxa9", +1, 3.0, 0.5),
    Edge("Hoxa9", "Meis1", +1, 0.2, 0.6),
    Edge("Meis1", "Gata2", +1, 3.0, 0.4),
    Edge("Runx1", "Gata2", +1, 0.5, 0.5),
    Edge("Gata1", "Gata2", -1, 4.0, 0.4),
    Edge("Spi1", "Gata2", -1, 4.0, 0.4),
    Edge("Gata1", "Meis1", -1, 2.0, 0.5),
    Edge("Gata2", "Runx1", +1, 0.8, 0.5),
    Edge("Spi1", "Runx1", +1, 0.8, 0.5),
    Edge("Klf1", "Runx1", -1, 2.0, 0.5),
    # The first switch: Gata1 against Spi1.
    Edge("Gata1", "Gata1", +1, 4.0, 0.4),
    Edge("Gata2", "Gata1", +1, 0.15, 0.5),
    Edge("Spi1", "Gata1", -1, 5.0, 0.3),
    Edge("Hlf", "Gata1", -1, 6.0, 0.3),
    Edge("Spi1", "Spi1", +1, 4.0, 0.4),
    Edge("Runx1", "Spi1", +1, 0.3, 0.5),
    Edge("Gata1", "Spi1", -1, 5.0, 0.3),
    Edge("Hlf", "Spi1", -1, 6.0, 0.3),
    # Erythroid programme.
    Edge("Gata1", "Zfpm1", +1, 4.0, 0.5),
    Edge("Gata2", "Tal1", +1, 1.5, 0.5),
    Edge("Gata1", "Tal1", +1, 4.0, 0.5),
    Edge("Spi1", "Tal1", -1, 3.0, 0.4),
    Edge("Gata1", "Klf1", +1, 2.5, 0.6),
    Edge("Tal1", "Klf1", +1, 0.2, 0.6),
    Edge("Spi1", "Klf1", -1, 4.0, 0.3),
    Edge("Hlf", "Klf1", -1, 3.0, 0.3),
    Edge("Gata1", "Gfi1b", +1, 3.0, 0.5),
    Edge("Spi1", "Gfi1b", -1, 2.0, 0.4),
    # Myeloid programme.
    Edge("Spi1", "Cebpa", +1, 3.0, 0.5),
    Edge("Zfpm1", "Cebpa", -1, 4.0, 0.3),
    Edge("Spi1", "Jun", +1, 2.0, 0.6),
    Edge("Gfi1", "Jun", -1, 3.0, 0.4),
    # The second switch: Gfi1 against Irf8.
    Edge("Gfi1", "Gfi1", +1, 4.0, 0.4),
    Edge("Cebpa", "Gfi1", +1, 1.2, 0.6),
    Edge("Irf8", "Gfi1", -1, 5.0, 0.3),
    Edge("Zfpm1", "Gfi1", -1, 6.0, 0.2),
    Edge("Gfi1b", "Gfi1", -1, 3.0, 0.3),
    Edge("Gata2", "Gfi1", -1, 3.0, 0.4),
    Edge("Irf8", "Irf8", +1, 4.0, 0.4),
    Edge("Spi1", "Irf8", +1, 0.75, 0.6),
    Edge("Gfi1", "Irf8", -1, 5.0, 0.3),
    Edge("Zfpm1", "Irf8", -1, 6.0, 0.2),
    Edge("Gata2", "Irf8", -1, 3.0, 0.4),
    Edge("Gfi1", "Cebpe", +1, 3.0, 0.6),
    Edge("Irf8", "Cebpe", -1, 4.0, 0.3),
    Edge("Irf8", "Egr1", +1, 2.0, 0.5),
    Edge("Jun", "Egr1", +1, 0.5, 0.6),
    Edge("Gfi1", "Egr1", -1, 4.0, 0.3),
    Edge("Irf8", "Klf4", +1, 3.0, 0.6),
    Edge("Gfi1", "Klf4", -1, 4.0, 0.3),
    # Growth: Myc drives E2f1; mature cells stop.
    Edge("Gata2", "Myc", +1, 1.0, 0.5),
    Edge("Gata1", "Myc", +1, 1.2, 0.5),
    Edge("Cebpa", "Myc", +1, 0.6, 0.5),
    Edge("Hlf", "Myc", -1, 2.0, 0.5),
    Edge("Cebpe", "Myc", -1, 1.5, 0.5),
    Edge("Klf4", "Myc", -1, 1.5, 0.5),
    Edge("Myc", "E2f1", +1, 3.0, 0.5),
    Edge("Hlf", "E2f1", -1, 2.0, 0.5),
    Edge("Cebpe", "E2f1", -1, 2.5, 0.5),
    Edge("Klf1", "E2f1", -1, 0.8, 0.6),
)


@dataclass(frozen=True)
class Module:
    """Target genes under the same regulators (sign by prefix), with a range of turnover per day."""

    regulators: str
    rate: tuple[float, float]
    abundance: float
    genes: str
    basal: float = 0.004


MODULES = {
    "stem": Module(
        "+Hlf +Mecom", (0.7, 1.6), 1.0,
        "Procr Ly6a Mllt3 Slamf1 Mpl Esam Tek Angpt1 Pdzk1ip1 Sult1a1 Ifitm1 Txnip Myct1 Trim47",
    ),
    "progenitor": Module(
        "+Gata2 +Meis1", (0.8, 1.8), 1.2, "Kit Cd34 Flt3 Adgrg1 Cd27 Cdk6 Sox4 Erg Lmo2 Angpt2"
    ),
    "erythroid, early": Module(
        "+Gata1 +Tal1", (0.8, 1.6), 1.3,
        "Epor Car1 Car2 Tfrc Aqp1 Hemgn Rhd Mgst3 Blvrb Prdx2 Cpox Hmbs Urod Ermap",
    ),
    "erythroid, late": Module(
        "+Klf1 +Gata1", (0.25, 0.6), 3.5,
        "Hbb-bs Hbb-bt Hba-a1 Hba-a2 Alas2 Gypa Slc4a1 Epb42 Ank1 Spta1 Sptb Rhag Bpgm Add2 Ahsp Trim10 "
        "Tspo2 Snca Fech Tent5c",
    ),
    "myeloid": Module(
        "+Cebpa +Spi1", (0.8, 1.6), 1.4,
        "Plac8 Ctsc Cst3 Tyrobp Fcer1g Csf2rb Csf2ra Coro1a Laptm5 Cd33 Clec12a Alox5ap",
    ),
    "neutrophil, early": Module(
        "+Gfi1 +Cebpa", (0.7, 1.4), 2.4, "Mpo Elane Prtn3 Ctsg Ms4a3 Srgn Nkg7 Calr Clec5a Fcnb"
    ),
    "neutrophil, late": Module(
        "+Cebpe +Gfi1", (0.25, 0.6), 2.0,
        "S100a8 S100a9 Camp Ltf Ngp Lcn2 Mmp8 Mmp9 Cd177 Retnlg Chil3 Ly6g Padi4 Cxcr2 Itgb2l Lyz2",
    ),
    "monocyte, early": Module(
        "+Irf8 +Spi1", (0.7, 1.4), 2.2,
        "Csf1r Ly86 Ccr2 F13a1 Ms4a6c Ctss Ly6c2 Cx3cr1 Fcgr1 Cybb Mpeg1 Sirpa",
    ),
    "monocyte, late": Module(
        "+Klf4 +Egr1", (0.25, 0.6), 2.4, "Mafb Cd14 Lgals3 Psap Ctsb Fn1 Vcan Cd68 Ahnak Apoe C1qa C1qb"
    ),
    "cell cycle": Module(
        "+E2f1", (1.5, 2.5), 0.8,
        "Mki67 Top2a Ccnb1 Cdk1 Pcna Mcm2 Mcm3 Mcm5 Mcm6 Tyms Ube2c Birc5 Hmgb2 Cenpa Aurkb Ccna2 Rrm2 "
        "Tubb5",
    ),
    "ribosome": Module(
        "+Myc", (0.8, 1.5), 5.0,
        "Rpl3 Rpl4 Rpl7 Rpl10 Rpl13 Rpl32 Rpl41 Rplp0 Rps2 Rps3 Rps6 Rps12 Rps18 Rps27 Rps29 Rpsa", 0.8,
    ),
    "housekeeping": Module(
        "", (1.0, 1.0), 3.0,
        "Actb Gapdh Tmsb4x Eef1a1 B2m Ppia Ubb Hprt Tbp Pgk1 Ywhaz Sdha Hsp90ab1 Malat1 Ftl1 Tpt1 Cfl1", 1.0,
    ),
    "mitochondrial": Module(
        "", (1.0, 1.0), 2.0, "mt-Co1 mt-Co2 mt-Co3 mt-Nd1 mt-Nd2 mt-Nd4 mt-Cytb mt-Atp6", 1.0
    ),
}  # fmt: skip

FATES = ("Erythroid", "Monocyte", "Neutrophil")
DECIDED_BY = (("Gata1", "Spi1"), ("Irf8", "Gfi1"), ("Gfi1", "Irf8"))  # winner and loser of each fate's switch


@dataclass(frozen=True)
class Blood:
    """The network with what is needed to count its products."""

    network: GeneNetwork
    edges: tuple[Edge, ...]
    module: tuple[str, ...]
    abundance: np.ndarray
    start: np.ndarray

    def level(self, x: np.ndarray, gene: str) -> np.ndarray:
        """One gene of the states x, (n,)."""
        return x[:, self.network.genes.index(gene)]


def build_blood() -> Blood:
    """Put the network together; the constants of the targets are drawn once, from a fixed seed."""
    rng = np.random.default_rng(CONSTANTS_SEED)
    basal = {r.name: r.basal for r in REGULATORS}
    rate = {r.name: PACE * r.rate for r in REGULATORS}
    module = {r.name: "regulator" for r in REGULATORS}
    abundance = {r.name: 1.0 for r in REGULATORS}
    edges = list(EDGES)
    for name, kind in MODULES.items():
        for gene in kind.genes.split():
            basal[gene] = kind.basal
            rate[gene] = PACE * float(rng.uniform(*kind.rate))
            module[gene] = name
            abundance[gene] = kind.abundance * float(rng.lognormal(0, 0.5))
            edges += _regulation(kind, gene, rng)
    names = [r.name for r in REGULATORS]
    network = build_network(basal, rate, edges, regulators=names, hill=2.0, noise=0.1)
    start = {r.name: r.start for r in REGULATORS}
    x = np.array([[start.get(gene, 0.0) for gene in network.genes]], np.float32)
    x[:, len(names) :] = network.production(x)[:, len(names) :]
    return Blood(
        network,
        tuple(edges),
        tuple(module[gene] for gene in network.genes),
        np.array([abundance[gene] for gene in network.genes]),
        x[0],
    )


def _regulation(module: Module, gene: str, rng: np.random.Generator) -> list[Edge]:
    """Draw the strengths with which the regulators of a module act on one of its genes."""
    strength, half = rng.uniform(2.0, 5.0, 2), rng.uniform(0.4, 0.8, 2)
    lead = rng.integers(2)  # one of the two regulators acts more strongly, so that genes of a module differ
    edges = []
    for k, name in enumerate(module.regulators.split()):
        weight = strength[k] if k == lead or " " not in module.regulators else 0.3 * strength[k]
        edges.append(Edge(name[1:], gene, 1 if name[0] == "+" else -1, float(weight), float(half[k])))
    return edges
