"""Model files: they come back the same, and nothing but a sound one is believed."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from clouds import drifting
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from dynamics import disk
from dynamics.basis import StateBasis
from dynamics.errors import ModelError
from models import checkpoint, container
from models.card import NEEDED
from models.config import TrainConfig
from models.train import fit

SHAPE = {"dim": 3, "width": 8, "depth": 1, "heads": {"velocity": 3}, "kind": "field", "tables": {}}


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    genes = ("Sox2", "Pax6", "α-globin", "MT-CO1")
    numbers = (rng.random(shape, np.float32) for shape in ((3, 4), 4, 4))
    config = TrainConfig(settings={"steps": 20, "width": 8, "depth": 1})
    return fit(drifting(40), config, basis=StateBasis(genes, *numbers), name="Früh → spät")


@pytest.fixture(scope="module")
def sound(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "sound.safetensors"
    checkpoint.save(model, path)
    return path.read_bytes()


def parts(content: bytes) -> tuple[dict, dict]:
    length = struct.unpack("<Q", content[:8])[0]
    outer = json.loads(content[8 : 8 + length])
    return json.loads(outer["__metadata__"]["driftscope"]), parse_tensors(content)


def packed(header: dict | str, tensors: dict, *, signed: bool = True) -> bytes:
    """A file with this header, its digest made to fit as a forger would."""
    if isinstance(header, dict) and signed:
        header = header | {"sha256": container.digest(tensors, header)}
    text = header if isinstance(header, str) else json.dumps(header)
    return pack_tensors(tensors, metadata={"driftscope": text})


def raw(header: str, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header.encode())) + header.encode() + body


def refused(content: bytes, folder, match: str = "intact") -> str:
    path = folder / "hostile.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=match) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert str(folder) not in message
    assert message.endswith(".")
    assert not any(word in message for word in ("Traceback", "safetensors", "Error", "torch", "numpy"))
    return message


def test_everything_comes_back(model, sound, tmp_path):
    (tmp_path / "m").write_bytes(sound)
    again = checkpoint.load(tmp_path / "m")
    x = torch.randn(5, 3)
    assert torch.equal(again(0.3, x), model(0.3, x))
    for name in ("name", "method", "settings", "seed", "whiten", "rep", "fingerprint", "architecture"):
        assert getattr(again, name) == getattr(model, name)
    for name in ("shift", "scale", "low", "high"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    assert again.axis.labels == model.axis.labels
    assert again.axis.n_cells == model.axis.n_cells
    assert again.unit == "day"
    np.testing.assert_array_equal(again.axis.values, model.axis.values)
    assert again.basis.genes == model.basis.genes
    np.testing.assert_array_equal(again.basis.loadings, model.basis.loadings)
    assert {**model.summary, "seconds": None} == {**again.summary, "seconds": None}


def test_no_time_of_day_is_in_the_file(model, sound):
    header, _ = parts(sound)
    assert "seconds" in model.summary
    assert "seconds" not in header["summary"]


def test_the_card_is_read_without_the_tensors(model, sound, tmp_path):
    (tmp_path / "m").write_bytes(sound)
    card = checkpoint.read_card(tmp_path / "m")
    assert card["name"] == "Früh → spät"
    assert card["method"] == "auto"
    assert card["times"]["values"] == [0.0, 1.0, 3.0]
    assert card["summary"]["couplings"][0]["exact"] is True
    assert len(json.dumps(card)) < 50_000


def test_a_file_appears_whole_or_not_at_all(model, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    checkpoint.save(model, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(model, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_file_cut_short_anywhere_is_refused(sound, tmp_path):
    for end in [0, 1, 7, 8, 9, 200, *range(300, len(sound), len(sound) // 25), len(sound) - 1]:
        refused(sound[:end], tmp_path, "not an intact Driftscope model")
    refused(sound + b"\0", tmp_path, "bytes")


def test_a_changed_header_is_noticed(sound, tmp_path):
    header, tensors = parts(sound)
    for change in ({"seed": 3}, {"name": "mine"}, {"rep": "X_umap"}, {"sha256": "0" * 64}, {"whiten": True}):
        refused(packed(header | change, tensors, signed=False), tmp_path, "changed after")
    refused(packed(header | {"new": 1}, tensors, signed=False), tmp_path, "entries that Driftscope does not")
    refused(packed(header | {"sha256": None}, tensors, signed=False), tmp_path, "sha256")


def test_a_flipped_bit_is_noticed(sound, tmp_path):
    rng = np.random.default_rng(0)
    length = struct.unpack("<Q", sound[:8])[0]
    for place in rng.integers(8 + length, len(sound), 20):
        flipped = bytearray(sound)
        flipped[place] ^= 1 << int(rng.integers(8))
        refused(bytes(flipped), tmp_path, "changed after|not finite")


def test_other_kinds_of_file_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "marker"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    zipped = tmp_path / "z"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    for content in (
        b"",
        pickle.dumps(Bomb()),
        zipped.read_bytes(),
        b"\x89HDF\r\n\x1a\n" + bytes(500),
        b"{}" * 99,
    ):
        refused(content, tmp_path, "not an intact Driftscope model|not a Driftscope model")
    assert not marker.exists()


def test_an_older_format_says_to_train_again(sound, tmp_path):
    header, tensors = parts(sound)
    refused(packed(header | {"format": 1}, tensors), tmp_path, "earlier Driftscope")


def test_a_newer_format_says_to_update(sound, tmp_path):
    header, tensors = parts(sound)
    message = refused(
        packed(header | {"format": container.FORMAT + 1, "method": "new"}, tensors),
        tmp_path,
        "newer Driftscope",
    )
    assert "Update Driftscope" in message


HEADERS = {
    "another kind": ({"kind": "driftscope-training"}, "another kind"),
    "unknown method": ({"method": "warp"}, "'warp'.*Known: .*ot-cfm"),
    "no settings": ({"settings": None}, "settings"),
    "unknown setting": ({"settings": {"exec": "rm"}}, "Unknown setting exec"),
    "setting out of range": ({"settings": {"steps": 10**9}}, "steps"),
    "settings incomplete": ({"settings": {}}, "incomplete"),
    "huge network": (
        {"architecture": SHAPE | {"width": 10**9, "heads": {"velocity": 3}}},
        "shape",
    ),
    "network of another width": (
        {"architecture": SHAPE | {"width": 9, "heads": {"velocity": 3}}},
        "not those of its network",
    ),
    "foreign heads": ({"architecture": SHAPE | {"width": 8, "heads": {"exec": 3}}}, "method"),
    "unknown kind": ({"architecture": SHAPE | {"kind": ["field"]}}, "shape"),
    "endless table": ({"architecture": SHAPE | {"tables": {"a": [10**12]}}}, "shape"),
    "table that is no table": ({"architecture": SHAPE | {"tables": {"a": 3}}}, "tables"),
    "more in the network": (
        {"architecture": SHAPE | {"width": 8, "heads": {"velocity": 3}, "extra": 1}},
        "shape",
    ),
    "seed": ({"seed": -1}, "seed"),
    "seed is a bool": ({"seed": True}, "seed"),
    "name": ({"name": 3}, "name"),
    "long name": ({"name": "a" * 10_000}, "name"),
    "whiten": ({"whiten": "yes"}, "whiten"),
    "speeds": ({"speeds": [1.0]}, "speeds"),
    "speeds below zero": ({"speeds": [1.0, -1.0]}, "speeds"),
    "speeds as text": ({"speeds": ["1", "2"]}, "speeds"),
    "times fall": (
        {"times": {"labels": ["a", "b", "c"], "values": [3, 2, 1], "unit": "", "n_cells": [1, 1, 1]}},
        "rise",
    ),
    "times missing": ({"times": {"labels": [], "values": [], "unit": "", "n_cells": []}}, "times"),
    "summary": ({"summary": []}, "summary"),
    "many genes": ({"basis": {"n_genes": 10**9, "gene_bytes": 3}}, "genes"),
    "fewer genes": ({"basis": {"n_genes": 3, "gene_bytes": 25}}, "not those of its network"),
    "no basis": ({"basis": None}, "not those of its network"),
    "speeds beyond measure": ({"speeds": [1.0, 1e300]}, "beyond all measure"),
    "format as text": ({"format": "1"}, "format"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_lies_is_refused(case, sound, tmp_path):
    change, match = HEADERS[case]
    header, tensors = parts(sound)
    refused(packed(header | change, tensors), tmp_path, match)


ODD = (None, -1, 1.5, 1e308, 2**70, "x", "", [], [[]], {}, {"a": 1}, True)


def places(value, path=()):
    """Every place in a JSON value, as the keys that lead there."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


def put(value, path, new):
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


def test_any_entry_may_be_anything(sound, tmp_path):
    """Whatever stands in the header, the answer is a working model or a refusal in words."""
    header, tensors = parts(sound)
    header["summary"] = {name: header["summary"][name] for name in NEEDED}
    path, n_refused = tmp_path / "m", 0
    for place in list(places(header)):
        for odd in ODD:
            path.write_bytes(packed(put(header, place, odd), tensors))
            try:
                model = checkpoint.load(path)
            except ModelError:
                n_refused += 1
            else:
                assert torch.isfinite(model(0.5, torch.zeros(1, 3))).all()
    assert n_refused > 200


def test_json_tricks_are_refused(sound, tmp_path):
    header, tensors = parts(sound)
    text = json.dumps(header)
    tricks = {
        "NaN": text.replace('"seed": 0', '"seed": NaN'),
        "too large": text.replace('"seed": 0', '"seed": 1e999'),
        "too long": text.replace('"seed": 0', f'"seed": {"9" * 5000}'),
        "stands twice": text.replace('"seed": 0', '"seed": 0, "seed": 1'),
        "nested": text.replace('"seed": 0', f'"seed": {"[" * 9}{"]" * 9}'),
        "not valid JSON": text[:-1],
        "not a JSON object": "[]",
    }
    for match, trick in tricks.items():
        assert trick != text
        refused(packed(trick, tensors), tmp_path, match)
    refused(packed("[" * 100_000 + "]" * 100_000, tensors), tmp_path, "not valid JSON|nested")


def test_tensors_other_than_the_network_s_are_refused(sound, tmp_path):
    header, tensors = parts(sound)
    weights = tensors["net.trunk.0.weight"]
    for change in (
        {"extra": np.zeros(3)},
        {"net.trunk.0.weight": weights[:, :-1].copy()},
        {"net.trunk.0.weight": weights.astype(np.float64)},
        {f"t{k}": np.zeros(1) for k in range(300)},
    ):
        refused(packed(header, tensors | change), tmp_path)
    missing = {name: value for name, value in tensors.items() if name != "shift"}
    refused(packed(header, missing), tmp_path, "shift")
    refused(packed(header, tensors | {"net.trunk.0.weight": weights * np.nan}), tmp_path, "not finite")


def test_a_consistent_forgery_must_still_make_sense(sound, tmp_path):
    header, tensors = parts(sound)
    refused(packed(header, tensors | {"scale": -tensors["scale"]}), tmp_path, "not positive")
    refused(packed(header, tensors | {"low": tensors["high"] + 1}), tmp_path, "range")
    for genes in (b"\xff" * len(tensors["basis.genes"]), b"\n" * len(tensors["basis.genes"])):
        change = {"basis.genes": np.frombuffer(genes, np.uint8)}
        refused(packed(header, tensors | change), tmp_path, "gene names")


def test_layouts_that_lie_are_refused(sound, tmp_path):
    length = struct.unpack("<Q", sound[:8])[0]
    outer, body = json.loads(sound[8 : 8 + length]), sound[8 + length :]
    name = "net.trunk.0.weight"

    def with_entry(**change) -> bytes:
        return raw(json.dumps(outer | {name: outer[name] | change}), body)

    for content in (
        with_entry(shape=[2**62, 0]),
        with_entry(shape=[-1, 4]),
        with_entry(shape=[2**39, 2**39]),
        with_entry(shape="all"),
        with_entry(dtype="F8_E4M3"),
        with_entry(dtype=[]),
        with_entry(data_offsets=[0, 10**12]),
        with_entry(data_offsets=[4, 4 + 8]),
        with_entry(data_offsets=None),
        raw(json.dumps(outer | {name: 3}), body),
        raw(json.dumps({key: value for key, value in outer.items() if key != "__metadata__"}), body),
        raw(json.dumps(outer | {"__metadata__": {"driftscope": 5}}), body),
        struct.pack("<Q", 2**63) + sound[8:],
        struct.pack("<Q", 2_000_001) + b" " * 3_000_000,
    ):
        refused(content, tmp_path, "not an intact Driftscope model")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ModelError, match="cannot be opened"):
        checkpoint.load(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="cannot be opened"):
        checkpoint.load(tmp_path)


def test_a_training_state_is_not_a_model(tmp_path):
    container.write_state({"a": np.zeros(2), "step": np.array(3)}, tmp_path / "s", key="k")
    assert container.read_state(tmp_path / "s", key="k")["step"] == 3
    with pytest.raises(ModelError, match="belongs to other data"):
        container.read_state(tmp_path / "s", key="other")
    with pytest.raises(ModelError, match="another kind"):
        checkpoint.load(tmp_path / "s")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A file with an ensemble of three."""
    path = tmp_path_factory.mktemp("models") / "several.safetensors"
    config = TrainConfig("growth-cfm", {"steps": 10, "width": 8, "depth": 1, "reg_m": 1.0}, members=3)
    checkpoint.save(fit(drifting(40), config), path)
    return path.read_bytes()


def test_only_an_ensemble_is_written_in_the_newer_format(sound, several, tmp_path):
    assert parts(sound)[0]["format"] == container.OLDEST
    assert "members" not in parts(sound)[0]
    assert parts(several)[0]["format"] == container.FORMAT
    for content, members in ((sound, 1), (several, 3)):
        (tmp_path / "m").write_bytes(content)
        assert checkpoint.read_card(tmp_path / "m")["members"] == members
        assert len(checkpoint.load(tmp_path / "m").members) == members


def test_tables_are_kept_once(several):
    _, tensors = parts(several)
    assert [name for name in tensors if name.endswith("growth_unit")] == ["net.growth_unit"]
    of_first = {name.removeprefix("net.") for name in tensors if name.startswith("net.")} - {"growth_unit"}
    for member in (1, 2):
        start = f"members.{member}."
        assert {name.removeprefix(start) for name in tensors if name.startswith(start)} == of_first


@pytest.mark.parametrize("members", [0, 1, -3, 33, 10**9, True, "3", 2.0, None, [3]])
def test_an_impossible_number_of_members_is_refused(several, members, tmp_path):
    header, tensors = parts(several)
    refused(packed(header | {"members": members}, tensors), tmp_path, "members")
    with pytest.raises(ModelError, match="members"):
        checkpoint.read_card(tmp_path / "hostile.safetensors")


def test_members_other_than_the_header_says_are_refused(several, tmp_path):
    header, tensors = parts(several)
    name = "members.2.trunk.0.weight"
    for other in (2, 4):
        refused(packed(header | {"members": other}, tensors), tmp_path, "members")
    without = {key: value for key, value in header.items() if key != "members"}
    refused(packed(without, tensors), tmp_path, "not those of its network")
    refused(packed(header, {key: value for key, value in tensors.items() if key != name}), tmp_path, name)
    for change in (
        {name: tensors[name][:, :-1].copy()},
        {name: tensors[name].astype(np.float64)},
        {"members.1.growth_unit": tensors["net.growth_unit"]},
        {"members.3.trunk.0.weight": tensors[name]},
        {"members.0.trunk.0.weight": tensors[name]},
        {"members.02.trunk.0.weight": tensors[name]},
    ):
        refused(packed(header, tensors | change), tmp_path, "not those of its network")
    refused(packed(header, tensors | {name: tensors[name] * np.inf}), tmp_path, "not finite")
    header["members"] = 2
    refused(packed(header, {key: v for key, v in tensors.items() if key != name}), tmp_path, "members.2")


def test_a_method_without_a_network_has_no_members(tmp_path):
    model = fit(drifting(20), TrainConfig("ot"))
    checkpoint.save(model, tmp_path / "m")
    header, tensors = parts((tmp_path / "m").read_bytes())
    refused(packed(header | {"members": 2}, tensors), tmp_path, "ensemble of 2 members")
