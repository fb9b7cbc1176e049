"""The network's shape: known without building it, checked before anything is built."""

import pytest

from dynamics.errors import ModelError
from models import networks
from models.networks import Architecture


@pytest.mark.parametrize("depth", [1, 3])
def test_shapes_are_those_of_the_built_network(depth):
    architecture = Architecture(5, 16, depth, {"velocity": 5, "growth": 1})
    built = networks.fresh(architecture, seed=0).state_dict()
    assert networks.shapes(architecture) == {name: tuple(value.shape) for name, value in built.items()}


def test_bigger_data_get_a_wider_network():
    widths = [
        networks.suited(dim, n, heads={"velocity": dim}).width
        for dim, n in ((5, 9000), (50, 500), (50, 9000), (99, 9000))
    ]
    assert widths == [64, 64, 128, 256]
    assert networks.suited(5, 9000, heads={"velocity": 5}, width=24, depth=2).depth == 2


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 0},
        {"width": 10**9},
        {"depth": 2.0},
        {"heads": {}},
        {"heads": {"a b": 1}},
        {"heads": {"v": True}},
    ],
)
def test_impossible_shapes_are_refused(change):
    with pytest.raises(ModelError, match="train the model again"):
        Architecture(**({"dim": 2, "width": 8, "depth": 1, "heads": {"velocity": 2}} | change))
