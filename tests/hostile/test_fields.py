"""Bad fields: whatever is read off them ends soon, counts what failed, or says that nothing can be told."""

import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynamics import action, fates, fixed_points, growth, landscape, projection, reliability, terminal
from dynamics.errors import DynamicsError, IntegrationError, ModelError
from dynamics.integrate import integrate
from dynamics.projection import Placement
from dynamics.snapshots import from_arrays
from dynamics.stochastic import simulate
from dynamics.trajectories import Trajectories
from dynamics.velocity import evaluate

SECONDS = 10.0
LENGTHY = ("weights × 10³", "weights × 10⁶", "weights × 10³⁰", "oscillating in time", "stiff", "jumps")
TIMES = (0.0, 1.0, 3.0)
FIRST, LAST = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
W, V = torch.randn(2, 16, generator=FIRST), torch.randn(16, 2, generator=LAST)


def shaken(x, size):
    return torch.tanh(x @ W.to(x.dtype)) @ V.to(x.dtype) * size


def wave(t):
    return torch.cos(1e6 * torch.as_tensor(t, dtype=torch.float64)).float().reshape(-1, 1)


FIELDS = {
    "weights × 10³": lambda t, x: shaken(x, 1e3),
    "weights × 10⁶": lambda t, x: shaken(x, 1e6),
    "weights × 10³⁰": lambda t, x: shaken(x, 1e30),
    "blow-up in finite time": lambda t, x: 5 * x**2,
    "jumps": lambda t, x: -2 * torch.sign(x - 0.3),
    "stiff": lambda t, x: -1e6 * x,
    "oscillating": lambda t, x: 1e6 * torch.stack([-x[:, 1], x[:, 0]], dim=1),
    "oscillating in time": lambda t, x: torch.ones_like(x) * wave(t),
    "not a number somewhere": lambda t, x: torch.where(x[:, :1] > 3, torch.nan, torch.ones_like(x)),
    "infinite somewhere": lambda t, x: torch.where(x[:, :1] > 3, torch.inf, torch.ones_like(x)),
    "not a number": lambda t, x: torch.full_like(x, torch.nan),
    "slow": lambda t, x: 1e-9 * x,
    "still": lambda t, x: 0 * x,
}


class Bad:
    """A field that knows noise and growth, too."""

    dim = 2

    def __init__(self, function, shots) -> None:
        self.function, self.axis = function, shots.axis
        self.clock = SimpleNamespace(times=shots.axis.values)

    def __call__(self, t, x):
        return self.function(t, x)


class BadWithChance(Bad):
    is_stochastic = has_growth = True

    def noise(self, t):
        return np.full(2, 0.3)

    def drifts(self, t, x):
        return self.function(t, x), -0.05 * x

    def growth(self, t, x):
        return self.function(t, x)[:, 0]


@pytest.fixture(scope="module")
def shots():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((240, 2)) + np.repeat(TIMES, 80)[:, None] * [2.0, 0.0]
    return from_arrays(states, np.repeat(TIMES, 80), unit="day")


@pytest.fixture(scope="module")
def states(shots):
    codes = np.full(shots.n_cells, -1)
    last = shots.rows(2)
    codes[last] = shots.states[last, 1] > 0
    return terminal.from_codes(codes, ["a", "b"], source=terminal.BY_HAND)


def readings(shots, states, plain, chancy):
    """Everything that follows cells, or is read off a field at measured cells."""
    support = Placement(shots.states, shots.states)
    first, last = (shots.states[shots.rows(k)] for k in (0, 2))
    back, beyond = TIMES[::-1], (0.0, 1.0, 6.0)
    adaptive = {"method": "dopri5", "max_steps": 200}
    return {
        "rk4": lambda: integrate(plain, first, TIMES, support=support),
        "rk4 backwards": lambda: integrate(plain, last, back, support=support),
        "rk4 beyond": lambda: integrate(plain, first, beyond, support=support),
        "dopri5": lambda: integrate(plain, first, TIMES, support=support, **adaptive),
        "dopri5 backwards": lambda: integrate(plain, last, back, support=support, **adaptive),
        "with chance": lambda: simulate(chancy, first, TIMES, seed=0, support=support),
        "with chance, backwards": lambda: simulate(chancy, last, back, seed=0, support=support),
        "with growth": lambda: growth.follow(chancy, first, TIMES, support=support),
        "fates": lambda: fates.fate_probabilities(shots, plain, states),
        "fates, drawn": lambda: fates.fate_probabilities(shots, chancy, states, draws=8),
        "ways": lambda: action.least_action(plain, shots, (0, 200), support=support),
        "fixed points": lambda: fixed_points.fixed_points(plain, 1.0, shots.states, n_seeds=10),
        "flow": lambda: projection.embedded_velocity(plain, shots, support),
        "landscape": lambda: landscape.heights(plain, shots),
        "reliability": lambda: reliability.reliability(plain, shots),
    }


def outcome(read):
    """What is read, or the words in which it is refused."""
    try:
        return read()
    except DynamicsError as said:
        return said


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LENGTHY else ()) for name in FIELDS]
)
def test_every_reading_of_a_bad_field_ends_and_counts(shots, states, name):
    plain, chancy = (kind(FIELDS[name], shots) for kind in (Bad, BadWithChance))
    for reading, read in readings(shots, states, plain, chancy).items():
        began = time.process_time()
        found = outcome(read)
        assert not isinstance(found, DynamicsError) or str(found).endswith("."), reading
        assert time.process_time() - began < SECONDS, reading
        if isinstance(found, Trajectories):
            assert np.isfinite(found.states[-1][~found.failed]).all(), reading
            assert not found.inside[-1][found.failed].any(), reading
            assert bool(found.n_failed) == ("ran far out" in found.message), reading
        if isinstance(found, fates.Fates):
            lost = int((~found.known).sum())
            assert bool(lost) == (f"{lost:,} of {shots.n_cells:,} cells reach no terminal" in found.message)


@pytest.mark.parametrize("name", ["not a number somewhere", "infinite somewhere", "weights × 10³⁰"])
def test_what_is_no_number_is_said_with_the_count_of_cells(shots, states, name):
    plain, chancy = (kind(FIELDS[name], shots) for kind in (Bad, BadWithChance))
    n_bad = int((shots.states[:, 0] > 3).sum()) if "some" in name else shots.n_cells
    with pytest.raises(ModelError, match=f"gives {n_bad} of 240 cells a velocity that is no number"):
        evaluate(plain, shots.times, shots.states)
    for reading, read in readings(shots, states, plain, chancy).items():
        if reading in ("ways", "fixed points", "flow", "landscape", "reliability"):
            with pytest.raises(ModelError, match="no number"):
                read()


def test_one_start_that_is_no_number_is_counted_alone(shots):
    x0 = np.repeat(shots.states[shots.rows(0)], 7, axis=0)[:500]
    x0[123] = np.nan
    field = BadWithChance(lambda t, x: torch.ones_like(x), shots)
    for follow in (
        lambda: integrate(field, x0, TIMES),
        lambda: integrate(field, x0, TIMES, method="dopri5"),
        lambda: integrate(field, x0, TIMES[::-1]),
        lambda: simulate(field, x0, TIMES, seed=0),
        lambda: growth.follow(field, x0, TIMES),
    ):
        found = follow()
        assert np.flatnonzero(found.failed).tolist() == [123]
        assert "1 of 500 trajectories" in found.message


@pytest.mark.parametrize("how", ["rk4", "dopri5", "chance"])
def test_the_time_that_following_may_take_is_kept_and_said(shots, monkeypatch, how):
    from dynamics import following

    now = iter(range(10_000))
    monkeypatch.setattr(following, "monotonic", lambda: float(next(now)))
    field = BadWithChance(lambda t, x: torch.ones_like(x), shots)
    options = {"seconds": 5.0, "unit": "day"}
    if how == "chance":
        follow = partial(simulate, seed=0, **options)
    else:
        follow = partial(integrate, method=how, **options)
    with pytest.raises(IntegrationError, match=r"longer than 5 s .* 0 of 80 cells .* t = [0-2.]+.* day"):
        follow(field, shots.states[:80], TIMES)


def test_a_model_s_own_range_is_the_box_where_no_cells_are_given(shots):
    field = Bad(lambda t, x: 1e3 * torch.ones_like(x), shots)
    assert integrate(field, shots.states[:80], TIMES).n_failed == 0
    field.low, field.high = shots.states.min(axis=0), shots.states.max(axis=0)
    assert integrate(field, shots.states[:80], TIMES).n_failed == 80
