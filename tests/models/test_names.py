"""A model is read again whatever its genes, times and name are called."""

from dataclasses import replace

import numpy as np
import pytest

from dynamics.basis import StateBasis
from models import checkpoint
from models.config import TrainConfig
from models.train import fit
from tests.hostile.names import NAMES
from tests.models.clouds import drifting


@pytest.mark.parametrize("genes", [NAMES, ("line\nbreak",), ("a", "b")])
def test_names_come_back_as_they_were(genes, tmp_path, rng):
    n = len(genes)
    basis = StateBasis(genes, *(rng.random(shape, np.float32) for shape in ((3, n), n, n)))
    shots = drifting(40)
    labels = (*NAMES[-40:][: shots.n_times - 1], "line\nbreak")
    shots = replace(shots, axis=replace(shots.axis, labels=labels))
    model = fit(
        shots, TrainConfig(settings={"steps": 10, "width": 8, "depth": 1}), basis=basis, name=NAMES[0]
    )
    checkpoint.save(model, tmp_path / "m")
    again = checkpoint.load(tmp_path / "m")
    assert again.basis.genes == genes
    assert again.axis.labels == labels
    assert again.name == NAMES[0]
