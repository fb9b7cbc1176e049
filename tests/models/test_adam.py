"""AdamW for one network, and for several at once."""

import pytest
import torch

from models.adam import AdamW, StackedAdamW

SHAPES = [(3, 4, 2), (3, 1, 5), (3, 5, 5)]


def drawn(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator) for shape in SHAPES]


@pytest.mark.parametrize("clip", [1e-2, 3.0, 1e3])
def test_networks_in_a_stack_move_as_each_would_alone(clip):
    whole = [torch.nn.Parameter(one) for one in drawn(0)]
    apart = [[torch.nn.Parameter(one.detach()[k].clone()) for one in whole] for k in range(3)]
    together = StackedAdamW(whole, weight_decay=0.1)
    alone = [AdamW(parameters, weight_decay=0.1) for parameters in apart]
    for step in range(5):
        gradients = drawn(step + 1)
        for one in gradients:
            one[1] *= 100  # a gradient of its own length: the others are not shortened with it
        for k, optimizer in enumerate(alone):
            optimizer.step([one[k].clone() for one in gradients], rate=0.01, clip=clip)
        together.step([one.clone() for one in gradients], rate=0.01, clip=clip)
    for k, parameters in enumerate(apart):
        for one, stacked in zip(parameters, whole, strict=True):
            torch.testing.assert_close(stacked[k], one)


def test_the_state_of_a_stack_is_read_and_written_in_place():
    first, second = (StackedAdamW(torch.nn.Parameter(one) for one in drawn(0)) for _ in range(2))
    first.step(drawn(1), rate=0.01, clip=1.0)
    for name, value in second.state().items():
        value.copy_(first.state()[name])
    for one, other in zip(second.parameters, first.parameters, strict=True):
        one.data.copy_(other.data)
    for optimizer in (first, second):
        optimizer.step(drawn(2), rate=0.01, clip=1.0)
    for one, other in zip(first.parameters, second.parameters, strict=True):
        assert torch.equal(one, other)
