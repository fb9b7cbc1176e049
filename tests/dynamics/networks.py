"""A simulated switch of two genes with what follows each, for tests of candidate regulation."""

import numpy as np

from dynamics.simulator import Edge, build_network, step

EDGES = (
    *(Edge("S", gene, -1, 5.0, 0.3) for gene in ("A", "B")),
    *(Edge(gene, gene, +1, 4.0, 0.4) for gene in ("A", "B")),
    Edge("A", "B", -1, 5.0, 0.3),
    Edge("B", "A", -1, 5.0, 0.3),
    Edge("A", "A1", +1, 3.0, 0.5),
    Edge("A1", "A2", +1, 3.0, 0.5),
    Edge("B", "B1", +1, 3.0, 0.5),
    Edge("B1", "B2", +1, 3.0, 0.5),
    Edge("S", "T1", +1, 4.0, 0.5),
)
GENES = ("S", "A", "B", "A1", "A2", "B1", "B2", "T1")


def course(genes, edges, *, each, basal=None, rate=None):
    """The network, and states and times of `each` cells at six times."""
    basal = dict.fromkeys(genes, 0.02) | {"A": 0.06, "B": 0.06} | (basal or {})
    rate = dict.fromkeys(genes, 1.2) | {"S": 0.7, "A": 2.0, "B": 2.0, "A2": 0.8} | (rate or {})
    network = build_network(basal, rate, edges, regulators=genes, noise=0.1)
    rng = np.random.default_rng(0)
    x = np.zeros((600, len(genes)), np.float32)
    x[:, 0], x[:, 1:3] = rng.uniform(0.4, 1.4, 600), 0.1
    states, times = [], []
    for k in range(6):
        states.append(x[rng.choice(600, each, replace=False)])
        times.append(np.full(each, float(k)))
        for _ in range(20):
            x = step(network, x, rng)
    return network, np.concatenate(states), np.concatenate(times)
