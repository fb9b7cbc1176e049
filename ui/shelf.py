"""The library as it is drawn: one card a model, upload, download, rename, delete and undo."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from jobs import quotas
from jobs.workspace import ModelEntry
from models import checkpoint
from ui import alarms, cache, comparing, nav, state, theme, trust, validating
from ui.text import ago, count, duration, escape

DELETED = "deleted-model"
MOST_MB = 50


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
    quotas.check_room(state.store().home, dropped.size, what="The model")
    part = state.store().home / "uploads" / f"{secrets.token_hex(10)}.safetensors"
    part.write_bytes(dropped.getvalue())
    state.remember("uploads", state.recall("uploads", 0) + 1)
    card = _checked_card(part)
    entry = state.store().add_model(part, name=card["name"] or Path(dropped.name).stem, dataset=None)
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
    known = cache.cached(checkpoint.read_card, entry.path)
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
        alarms.of_model(entry)
        validating.draw(entry, n_times=len(known["times"]["values"]))


def _facts(entry: ModelEntry, known: Mapping) -> dict[str, str | tuple[str, str]]:
    times = known["times"]
    span = f"{times['labels'][0]} to {times['labels'][-1]} {times['unit']}".strip()
    taken = entry.about.get("seconds")
    return {
        "Method": (known["method"], f"seed {known['seed']}"),
        "Learned from": (count(sum(known["summary"]["n_cells"]), "cell"), _source(entry)),
        "Times": (str(len(times["values"])), span),
        "States": (f"{known['dim']} dimensions", f"of {known['rep']}"),
        "Loss": (f"{known['summary']['final_loss']:.3g}", _tested(entry)),
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
        if st.button("Delete", key=f"delete-{entry.id}", width="stretch"):
            state.store().delete_model(entry.id)
            state.remember(DELETED, (entry.id, entry.name))
            if work.entry and work.entry.id == entry.id:
                state.close("model")
            st.rerun()


def _checked_card(part: Path) -> Mapping:
    """Return the card of an uploaded model; a file that is not one is removed and refused."""
    try:
        checkpoint.load(part)
        return checkpoint.read_card(part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _file_name(name: str) -> str:
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return "-".join(word for word in plain.split("-") if word)[:80] or "model"
