"""Ensembles: the model stays what it is; further members differ in cells, first weights and draws only."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clouds import changed, drifting

from dynamics.ensemble import consensus, members_of, spread
from dynamics.errors import SettingsError, Stopped
from dynamics.field import no_progress
from dynamics.snapshots import from_arrays
from models import checkpoint, ensemble, halves, loop, metric, networks, resume, train
from models.config import TrainConfig, knobs
from models.methods import METHODS, settings_of, stacks, usual_members
from models.objectives import auto
from models.objectives.members import Members
from models.stacked import stack
from models.train import fit

TRAINED = [name for name, method in METHODS.items() if method.objective.evaluations]
VARIANTS = {
    **{name: TrainConfig(name) for name in TRAINED},
    "growing landscape": TrainConfig("action-matching", {"growth": True}),
    "noisy landscape": TrainConfig("action-matching", {"diffusion": 0.3}),
    "pulled splines": TrainConfig("spline-cfm", {"pull": 0.5}),
    "entropic sf2m": TrainConfig("sf2m", {"pairing": "entropic"}),
    "growing cnf": TrainConfig("cnf", {"growth": True, "solver_steps": 1, "batch": 16}),
    "fine-tuned": TrainConfig("ot-cfm", {"fine_tune": 3}),
    "averaged": TrainConfig("ot-cfm", {"average": 0.9}),
}
STACKED = [name for name, config in VARIANTS.items() if stacks(config)]
QUICK = {"steps": 20, "width": 16, "depth": 2}


@pytest.fixture(scope="module", autouse=True)
def few_steps_before():
    """Spend little on what is chosen once: paths by small networks, and geodesics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "QUICK", replace(auto.QUICK, steps=10))
        patch.setattr(metric, "STEPS", 20)
        yield


@pytest.fixture(scope="module")
def snapshots():
    return drifting(60)


def recipe(name, **settings):
    config = VARIANTS[name]
    known = {knob.name for knob in knobs(METHODS[config.method].settings)}
    quick = {setting: value for setting, value in QUICK.items() if setting in known}
    return replace(config, settings={**config.settings, **quick, **settings})


def objective_of(snapshots, config):
    shift, scale = train.standardisation(snapshots, whiten=False)
    problem = train._problem(snapshots, shift, scale, seed=0)
    return METHODS[config.method].objective(problem, settings_of(config), progress=no_progress)


def again(objective, seed):
    return objective.again(halves.halved(objective.problem, seed=seed))


@pytest.fixture(scope="module", params=VARIANTS)
def ensembled(request, snapshots):
    config = recipe(request.param)
    return config, fit(snapshots, config, name="x"), fit(snapshots, replace(config, members=3), name="x")


def test_the_model_itself_is_the_same_with_an_ensemble_and_without(ensembled, tmp_path):
    _, alone, several = ensembled
    assert members_of(alone) == (alone,)
    assert len(members_of(several)) == 3
    assert members_of(several)[0] is several
    checkpoint.save(alone, tmp_path / "alone")
    checkpoint.save(replace(several, others=()), tmp_path / "first")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "alone").read_bytes()


def test_members_differ_but_share_all_that_is_not_learned(ensembled, snapshots):
    _, _, several = ensembled
    x = torch.from_numpy(snapshots.states[::20].copy())
    answers = [member(0.5, x) for member in several.members]
    assert all(torch.isfinite(answer).all() for answer in answers)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(answers[first], answers[second])
    for member in several.members[1:]:
        assert len(member.members) == 1
        for name in ("clock", "axis", "shift", "scale", "architecture", "settings", "seed"):
            assert getattr(member, name) is getattr(several, name)
        for name in several.architecture.tables:
            assert torch.equal(getattr(member.net, name), getattr(several.net, name))


def test_an_ensemble_comes_back_the_same_from_its_file(ensembled, snapshots, tmp_path):
    config, _, several = ensembled
    checkpoint.save(several, tmp_path / "a")
    read = checkpoint.load(tmp_path / "a")
    x = torch.from_numpy(snapshots.states[::20].copy())
    for kept, trained in zip(read.members, several.members, strict=True):
        assert torch.equal(kept(0.5, x), trained(0.5, x))
    assert checkpoint.read_card(tmp_path / "a")["members"] == 3
    checkpoint.save(read, tmp_path / "b")
    checkpoint.save(fit(snapshots, replace(config, members=3), name="x"), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("name", STACKED)
def test_the_stacked_loss_is_the_sum_of_the_losses_and_so_is_its_gradient(name, snapshots):
    config = recipe(name)
    settings, objective = settings_of(config), objective_of(snapshots, config)
    parts = [again(objective, seed) for seed in (1, 2, 3)]
    nets = [train._network(objective, settings, n_cells=99, seed=seed) for seed in range(3)]
    for net in nets:  # away from the first weights, whose heads are nearly still
        for parameter in net.parameters():
            parameter.data.mul_(1.5)
    whole = stack(nets)
    batches = Members(parts, batch=16).draw(np.random.default_rng(0), steps=2, batch=16)
    stacked = Members(parts, batch=16).loss(whole, {key: value[1] for key, value in batches.items()})
    losses = [
        part.loss(net, {key: value[1, k] for key, value in batches.items()})
        for k, (part, net) in enumerate(zip(parts, nets, strict=True))
    ]
    torch.testing.assert_close(stacked, sum(losses))
    found = torch.autograd.grad(stacked, list(whole.parameters()), materialize_grads=True)
    for k, (net, loss) in enumerate(zip(nets, losses, strict=True)):
        own = torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
        for whole_one, one in zip(found, own, strict=True):
            mine = whole_one[k].T if one.ndim == 2 else whole_one[k, 0]
            torch.testing.assert_close(mine, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ot-cfm", "averaged", "growth-cfm", "genot", "noisy landscape"])
def test_a_stacked_member_is_the_one_that_would_be_trained_alone(name, snapshots, monkeypatch):
    """Clipped gradients, weight decay, averaging and the learning rate all act on each member by itself."""
    config = replace(recipe(name, clip=0.05, weight_decay=0.1), members=3)
    stacked = fit(snapshots, config)
    streams = {}

    def alone(model, group, *, keeper, progress):
        """Train each member by itself, on the draws that it got in the stack."""
        found = []
        for k, member in enumerate(group):
            seed = halves.member_seed(0, member)
            objective = Members([again(model.objective, seed)], batch=1)
            objective.at_once = 200
            objective.draw = lambda rng, *, steps, batch, part=objective.parts[0], k=k: {
                key: value[:, None]
                for key, value in part.draw(rng.spawn(len(group))[k], steps=steps, batch=batch).items()
            }
            net = stack([model.fresh(seed=seed)])
            settings = ensemble.lighter(model.settings)
            phases = [loop.Phase(objective, model.steps, settings.learning_rate, settles=False)]
            state = loop.start(net, settings, phases=phases, optimizer=ensemble.StackedAdamW)
            loop.train(phases, state, settings, seed=halves.member_seed(0, group[0]))
            found += ensemble.unstack(net, 1)
        streams["used"] = len(found)
        return found

    monkeypatch.setattr(ensemble, "_trained", alone)
    separate = fit(snapshots, config)
    assert streams["used"] == 2
    x = torch.from_numpy(snapshots.states[::20].copy())
    for one, other in zip(stacked.members, separate.members, strict=True):
        torch.testing.assert_close(one(0.5, x), other(0.5, x), rtol=1e-3, atol=1e-4)


INTERRUPTED = [("ot-cfm", 1), ("ot-cfm", 15), ("ot-cfm", 25), ("ot-cfm", 39), ("averaged", 30)]


@pytest.mark.parametrize(("name", "stopped"), [*INTERRUPTED, ("fine-tuned", 30), ("fine-tuned", 60)])
def test_an_interrupted_ensemble_resumes_to_the_same_file(name, stopped, snapshots, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(resume, "CHECKPOINT_SECONDS", 0.0)
    config, calls = replace(recipe(name), members=3), []

    def stop(fraction, message="", **_):
        calls.append(message)
        return sum("step" in one for one in calls) < stopped

    kept = tmp_path / "kept.safetensors"
    checkpoint.save(fit(snapshots, config), tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(snapshots, config, checkpoint=kept, progress=stop)
    calls.clear()
    model = fit(snapshots, config, checkpoint=kept, progress=lambda *said, **_: calls.append(said[1]) or True)
    assert any("Resuming" in said for said in calls)
    checkpoint.save(model, tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    states = {one.name for one in tmp_path.iterdir()} - {"resumed", "whole"}
    assert all(name.startswith("kept") for name in states)


def test_progress_rises_over_all_members_and_figures_are_those_of_the_model_itself(snapshots, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    for name in ("ot-cfm", "fine-tuned"):
        told = []
        fit(
            snapshots,
            replace(recipe(name), members=3),
            progress=lambda fraction, said="", told=told, **more: told.append((fraction, said, more)) or True,
        )
        fractions = [fraction for fraction, _, _ in told]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1.0)
        assert not any(more for _, said, more in told if "of the ensemble" in said)
        assert any(said.startswith("Member") and "pairing cells" in said for _, said, _ in told)


def test_it_stops_while_the_members_are_paired(snapshots):
    with pytest.raises(Stopped):
        fit(
            snapshots,
            replace(recipe("ot-cfm"), members=3),
            progress=lambda _, said, **__: "pairing cells" not in said,
        )


def test_usual_ensembles_are_those_that_are_trained_in_one_pass():
    for name, config in VARIANTS.items():
        assert usual_members(config) == (5 if name in STACKED else 1)
    assert set(VARIANTS) - set(STACKED) == {"neural-ode", "cnf", "growing cnf", "fine-tuned"}
    assert usual_members(TrainConfig("ot")) == 1


def test_without_a_network_there_is_no_ensemble(snapshots):
    with pytest.raises(SettingsError, match=r"members = 2: ot trains no network.*Set members to 1"):
        fit(snapshots, TrainConfig("ot", members=2))


@pytest.mark.parametrize("counts", [(1, 1), (1, 30), (2, 1, 3), (40, 700)])
def test_any_number_of_cells_can_have_an_ensemble(counts, rng):
    states = rng.standard_normal((sum(counts), 2))
    shots = from_arrays(states, np.repeat(np.arange(float(len(counts))), counts))
    for name in ("ot-cfm", "growth-cfm", "sb-cfm"):
        model = fit(shots, replace(recipe(name), members=2))
        assert torch.isfinite(model.members[1](0.5, torch.zeros(1, 2))).all()


def test_members_agree_where_cells_show_the_way_and_part_where_none_are(snapshots):
    shots = drifting(200)
    model = fit(shots, TrainConfig("ot-cfm", {"steps": 300}, members=5))
    far = shots.states + np.array([0, 30, -30], np.float32)
    assert np.mean(consensus(model, shots.states, times=shots.times)) > 0.95
    assert np.mean(spread(model, far, times=shots.times)) > 3 * np.mean(
        spread(model, shots.states, times=shots.times)
    )


@pytest.mark.parametrize("scale", [2.0**-7, 2.0**10])
def test_consensus_does_not_depend_on_units(snapshots, scale):
    config = replace(recipe("ot-cfm"), members=3)
    usual, other = (fit(shots, config) for shots in (snapshots, changed(snapshots, scale=scale, slower=32.0)))
    here = consensus(usual, snapshots.states, times=snapshots.times)
    there = consensus(other, snapshots.states * np.float32(scale), times=32 * snapshots.times)
    np.testing.assert_allclose(there, here, atol=1e-3)


def test_a_potential_of_several_networks_is_that_of_each():
    heads, tables = {"potential": 1, "score": 3}, {"score_unit": (1,)}
    architecture = networks.Architecture(3, 8, 2, heads, "potential", tables)
    nets = [networks.fresh(architecture, seed=seed) for seed in range(3)]
    for net in nets:
        net.score_unit.fill_(0.3)
    generator = torch.Generator().manual_seed(0)
    z, time = (torch.randn(3, 5, width, generator=generator) for width in (3, 6))
    found = stack(nets)(time, z)
    for k, net in enumerate(nets):
        for head, value in net(time[k], z[k]).items():
            torch.testing.assert_close(found[head][k], value)
    for net, same in zip(nets, ensemble.unstack(stack(nets), 3), strict=True):
        for one, other in zip(net.state_dict().values(), same.state_dict().values(), strict=True):
            assert torch.equal(one, other)
