"""Nothing in a model file is executed, and what a stranger made is refused in words or harmless."""

import json
import time
import tracemalloc
from pathlib import Path

import model_claims
import model_files
import numpy as np
import pytest
import torch

from dynamics.basis import StateBasis
from dynamics.errors import ModelError
from dynamics.snapshots import from_arrays
from models import checkpoint, container
from models.config import MAX_MEMBERS, TrainConfig, from_mapping
from models.methods import METHODS
from models.networks import LIMITS, Architecture, shapes
from models.train import fit
from ui import shelf

SECONDS = 2.0  # of processor time, so that a busy machine changes nothing
FAMILIES = {
    "programs": lambda sound, marker: model_files.programs(marker),
    **{
        family.__name__: lambda sound, marker, family=family: family(sound)
        for family in (
            model_files.wrong_ends,
            model_files.wrong_layouts,
            model_files.wrong_json,
            model_claims.wrong_settings,
            model_claims.wrong_facts,
            model_claims.wrong_cards,
            model_claims.wrong_values,
        )
    },
}
LIBRARY = ("Traceback", "safetensors header", "SafetensorError", "torch.", "numpy.", "weights_only", "Errno")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((120, 3)) + np.repeat([[0.0], [1.0], [3.0]], 40, axis=0)
    numbers = (rng.random(shape, np.float32) for shape in ((3, 4), 4, 4))
    genes = StateBasis(("Sox2", "Pax6", "α-globin", "MT-CO1"), *numbers)
    shots = from_arrays(states, np.repeat([0.0, 1.0, 3.0], 40), unit="day")
    config = TrainConfig("ot-cfm", {"steps": 10, "width": 8, "depth": 1})
    path = tmp_path_factory.mktemp("models") / "sound.safetensors"
    checkpoint.save(fit(shots, config, basis=genes, name="sound"), path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in" / "uploaded.safetensors"


@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_model_files_are_refused_in_words_and_soon(sound, path, family):
    marker = path.parent.parent / "marker"
    files = FAMILIES[family](sound, marker)
    accepted = []
    for name, content in files.items():
        path.write_bytes(content)
        began = time.process_time()
        try:
            checkpoint.load(path)
        except ModelError as refusal:
            said = str(refusal)
        else:
            accepted.append(name)
            continue
        assert time.process_time() - began < SECONDS, name
        assert said.endswith("."), name
        assert len(said) < 400, name
        assert said.isprintable(), name
        assert str(path.parent) not in said, name
        assert not any(word in said for word in LIBRARY), (name, said)
    assert accepted == []
    assert len(files) >= 15
    assert not marker.exists()


def test_the_battery_would_notice_a_program(tmp_path):
    """The files do hold a program: a careless reader runs it."""
    marker = tmp_path / "marker"
    bomb = model_files.programs(marker)["torch zip"]
    (tmp_path / "file").write_bytes(bomb)
    torch.load(tmp_path / "file", weights_only=False).close()
    assert marker.exists()


def test_memory_stays_in_proportion_to_the_file(sound, path):
    layouts, texts = model_files.wrong_layouts(sound), model_files.wrong_json(sound)
    for content in (layouts["10,000 empty tensors"], texts["header 100,000 levels"]):
        assert _peak(content, path) < 32 * len(content)
    header, tensors = model_files.parts(sound)
    large = model_files.forged(header, tensors | {"net.trunk.0.weight": np.zeros((2**21, 8), np.float32)})
    assert _peak(large, path) < 0.1 * len(large), "what does not fit its network is not read"


def _peak(content: bytes, path: Path) -> int:
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError):
            checkpoint.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_strange_but_possible_is_opened_and_can_be_drawn(sound, path):
    for name, content in model_claims.strange_but_whole(sound).items():
        path.write_bytes(content)
        assert torch.isfinite(checkpoint.load(path)(0.5, torch.zeros(2, 3))).all(), name
        assert all(shelf.told(checkpoint.read_card(path)).values()), name


def test_every_card_that_is_read_can_be_drawn(sound, path):
    """Also where the tensors were not looked at: a card never breaks the library."""
    n_drawn = 0
    for family in FAMILIES.values():
        for name, content in family(sound, path).items():
            path.write_bytes(content)
            try:
                known = checkpoint.read_card(path)
            except ModelError:
                continue
            assert all(shelf.told(known).values()), name
            assert json.dumps(known, allow_nan=False).encode(), name
            n_drawn += 1
    assert n_drawn > 20


def test_an_honest_model_has_fewer_tensors_than_the_bound():
    most = 0
    for method in METHODS.values():
        settings = from_mapping(method.settings, {})
        heads = method.objective.heads(8, settings)
        deepest = Architecture(8, 64, LIMITS["depth"], heads, method.objective.kind)
        members = MAX_MEMBERS if method.objective.evaluations else 1
        most = max(most, members * len(shapes(deepest)) + 4 + 4)
    assert most < container.MAX_TENSORS < 1.2 * most


def test_names_of_genes_with_line_breaks_come_back(sound, path, tmp_path):
    genes = StateBasis(
        ("a\nb", "c\\n", "d\t"), np.ones((3, 3), np.float32), *(np.ones(3, np.float32) for _ in range(2))
    )
    states = np.random.default_rng(0).standard_normal((40, 3))
    shots = from_arrays(states, np.repeat([0.0, 1.0], 20))
    config = TrainConfig("ot-cfm", {"steps": 10, "width": 8, "depth": 1})
    checkpoint.save(fit(shots, config, basis=genes, name="n" * 5000 + "\ud800"), path)
    again = checkpoint.load(path)
    assert again.basis.genes == genes.genes
    assert again.name == "n" * 200
