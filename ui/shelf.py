"""The library as it is drawn: one card a model, upload, download, rename, delete and undo."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from dynamics.errors import ModelError
from jobs import quotas
from jobs.workspace import ModelEntry
from models import checkpoint
from models.card import learned_nothing
from ui import alarms, cache, comparing, downloads, nav, state, theme, trust, validating
from ui.text import ago, count, duration, escape

DELETED = "deleted-model"
MOST_MB = 50
LONGEST_NAME = 120


def upload() -> None:
    """Draw the place to drop a model file; a good one is added, opened and said."""
    dropped = st.file_uploader(
        "Add a model from a file",
        type="safetensors",
        key=f"model-file-{state.recall('uploads', 0)}",
        max_upload_size=MOST_MB,
        help="A .safetensors file saved by Driftscope. It is checked first; nothing in it is executed.",
    )
    if dropped is None:
        return
    state.remember("uploads", state.recall("uploads", 0) + 1)
    downloads.drop(dropped.file_id)
    quotas.check_room(state.store().home, dropped.size, what="The model")
    part = state.store().home / "uploads" / f"{secrets.token_hex(10)}.safetensors"
    name = _checked_name(part, dropped.getbuffer()) or Path(dropped.name).stem[:LONGEST_NAME]
    about = {"learned_nothing": learned_nothing(checkpoint.read_card(part)["summary"])}
    entry = state.store().add_model(part, name=name, dataset=None, about=about)
    state.notice(f"Added “{escape(entry.name)}”.")
    st.rerun()


def undo() -> None:
    """Offer to bring back the model that was deleted last."""
    deleted = state.recall(DELETED)
    if deleted is None:
        return
    id, name = deleted
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Deleted “{escape(name)}”.")
        if st.button("Undo", key="undo-delete-model"):
            state.store().restore_model(id)
            state.remember(DELETED, None)
            st.rerun()


def card(work: state.Workspace, entry: ModelEntry) -> None:
    """Draw one model: what it was learned from and how, and what can be done with it."""
    try:
        known = cache.cached(checkpoint.read_card, entry.path)
    except ModelError as problem:
        _broken(work, entry, problem)
        return
    with st.container(border=True, key=f"model-card-{entry.id}"):
        left, right = st.columns([4, 1], vertical_alignment="top")
        with left:
            is_open = " · open" if work.entry and work.entry.id == entry.id else ""
            st.markdown(f"**{escape(entry.name)}**{is_open}")
            theme.facts(_facts(entry, known))
        with right:
            _open_button(work, entry)
            _more(work, entry, known)
            comparing.tick(entry)
        for warning in known["summary"]["warnings"]:
            st.warning(escape(warning, limit=500), icon=":material/warning:")
        alarms.of_model(entry)
        validating.draw(entry, n_times=len(known["times"]["values"]))


def _broken(work: state.Workspace, entry: ModelEntry, problem: ModelError) -> None:
    """Draw a model whose file cannot be read: why, and the way to put it away; the others stay usable."""
    with st.container(border=True, key=f"model-card-{entry.id}"):
        st.markdown(f"**{escape(entry.name)}**")
        st.error(escape(problem, limit=600), icon=":material/info:")
        _delete_button(work, entry)


def told(known: Mapping) -> dict[str, tuple[str, str]]:
    """Return what a model file says of itself, in words."""
    times, summary = known["times"], known["summary"]
    span = f"{times['labels'][0]} to {times['labels'][-1]} {times['unit']}".strip()
    return {
        "Method": (known["method"], f"seed {known['seed']}"),
        "Learned from": (count(sum(summary["n_cells"]), "cell"), ""),
        "Times": (str(len(times["values"])), span),
        "States": (f"{known['dim']} dimensions", f"of {known['rep']}"),
        "Loss": (f"{summary['final_loss']:.3g}", ""),
    }


def _facts(entry: ModelEntry, known: Mapping) -> dict[str, tuple[str, str]]:
    facts, taken = told(known), entry.about.get("seconds")
    return {
        **facts,
        "Learned from": (facts["Learned from"][0], _source(entry)),
        "Loss": (facts["Loss"][0], _tested(entry)),
        "Made": (ago(entry.created), f"in {duration(taken)}" if taken else ""),
    }


def _tested(entry: ModelEntry) -> str:
    return "not validated" if trust.scores(entry) is None else "tested below"


def _source(entry: ModelEntry) -> str:
    names = {dataset.id: dataset.name for dataset in state.store().datasets()}
    return names.get(entry.dataset, "from a file" if entry.dataset is None else "a data set no longer here")


def _open_button(work: state.Workspace, entry: ModelEntry) -> None:
    word = "See the flow" if work.entry and work.entry.id == entry.id else "Open"
    if st.button(word, key=f"open-{entry.id}", type="primary", width="stretch"):
        state.open_model(entry.id)
        nav.go("flow")


def _more(work: state.Workspace, entry: ModelEntry, known: Mapping) -> None:
    with st.popover("More", width="stretch", key=f"more-{entry.id}"):
        name = st.text_input("Name", value=entry.name, key=f"rename-{entry.id}-{entry.name}", max_chars=120)
        if name.strip() and name.strip() != entry.name:
            state.store().rename_model(entry.id, name.strip())
            st.rerun()
        st.download_button(
            "Download",
            data=entry.path.read_bytes,
            file_name=f"{_file_name(entry.name)}.safetensors",
            on_click="ignore",
            key=f"download-{entry.id}",
            width="stretch",
        )
        st.json(dict(known), expanded=False)
        if entry.about.get("cli"):
            st.code(entry.about["cli"], language="bash", wrap_lines=True)
        _delete_button(work, entry)


def _delete_button(work: state.Workspace, entry: ModelEntry) -> None:
    if st.button("Delete", key=f"delete-{entry.id}", width="stretch"):
        state.store().delete_model(entry.id)
        state.remember(DELETED, (entry.id, entry.name))
        if work.entry and work.entry.id == entry.id:
            state.close("model")
        st.rerun()


def _checked_name(part: Path, content: memoryview) -> str:
    """Write an uploaded model and return its name; what is not one is removed and refused."""
    try:
        part.write_bytes(content)
        return checkpoint.load(part).name
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _file_name(name: str) -> str:
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return "-".join(word for word in plain.split("-") if word)[:80] or "model"
