"""Choosing how to learn: a question, a method that answers it, and the method's settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from models import noise_preview
from models.config import MAX_MEMBERS, MAX_SEED, TrainConfig, from_mapping
from models.estimate import Sizes
from models.methods import METHODS, stacks, usual_members
from models.objectives.base import PURPOSES, Method
from models.objectives.bridges import BridgeSettings
from ui import cache, estimating, forms, state, theme
from ui.text import escape

ADDRESS = "method"  # in the address: the chosen method, so that a link or a reload brings it back


def choose(work: state.Workspace) -> TrainConfig:
    """Draw the questions, the methods that answer the chosen one and their settings; return the recipe."""
    asked, answered, states, about = (st.container() for _ in range(4))
    with states, st.expander("States, seed and ensemble"):
        dims, whiten, seed = _states(work)
        below_them = st.container()
    sizes = estimating.sizes(work, dims)
    asked_for = st.query_params.get(ADDRESS)
    linked = asked_for if asked_for in METHODS else TrainConfig.method
    with asked:
        purpose = _purpose(linked)
    with answered:
        name = _method(purpose, sizes, linked)
        method = METHODS[name]
        below = _below(work, method, dims=dims, whiten=whiten)
        settings = forms.draw(method.settings, key=f"training-{name}", below=below)
    with about:
        _about(method)
    if name != linked:
        st.query_params[ADDRESS] = name
    changed = forms.changed(method.settings, settings)
    config = TrainConfig(method=name, settings=changed, seed=seed, dims=dims, whiten=whiten)
    with below_them:
        return replace(config, members=_members(config))


def of_purpose(purpose: str) -> list[str]:
    """Return the names of the methods for a purpose, in the order in which they are offered."""
    return [name for name, method in METHODS.items() if method.purpose == purpose]


def _purpose(linked: str) -> str:
    """Draw the questions, first the one that the linked method answers."""
    known = [purpose for purpose in PURPOSES if of_purpose(purpose)]
    return st.radio(
        "What do you want to know?",
        known,
        index=known.index(METHODS[linked].purpose),
        format_func=PURPOSES.get,
        key="purpose",
    )


def _method(purpose: str, sizes: Sizes, linked: str) -> str:
    """Draw the methods for a purpose; where there is one only, say which."""
    names = of_purpose(purpose)
    why = {name: METHODS[name].why_not(n_times=sizes.n_times, dim=sizes.dim) for name in names}
    said = [f"Not for these data. {why[name]}" if why[name] else METHODS[name].use_when for name in names]
    if len(names) == 1:
        st.markdown(f"**{escape(METHODS[names[0]].title)}**")
        st.caption(escape(said[0], limit=400))
        return names[0]
    return st.radio(
        "Method",
        names,
        index=names.index(linked) if linked in names else 0,
        format_func=lambda name: METHODS[name].title,
        captions=said,
        key=f"method-{purpose}",
    )


def _below(
    work: state.Workspace, method: Method, *, dims: int | None, whiten: bool
) -> dict[str, Callable[[Any], None]]:
    """Return what is said below single settings: what a strength of noise means for these cells."""
    if not issubclass(method.settings, BridgeSettings):
        return {}

    def noise(value: float | None) -> None:
        shots = cache.snapshots(work.dataset, dims=dims)
        settings = from_mapping(method.settings, {"noise": value})
        found = cache.cached(noise_preview.preview, settings, shots, whiten=whiten)
        st.caption(
            f"{escape(found.sentence, limit=400)} (Noise {found.noise:.2g} × the spread of the states.) "
            "The data do not tell how strong it is: you choose."
        )

    return {"noise": noise}


def _about(method: Method) -> None:
    with st.expander("About this method"):
        needs = f"Needs {method.min_times} times or more"
        needs += f" and at most {method.max_dim} dimensions." if method.max_dim else "."
        told = [method.summary, f"**It cannot:** {escape(method.cannot, limit=600)}", needs]
        st.markdown("\n\n".join([escape(told[0], limit=600), *told[1:]]))
        st.caption(escape(method.reference, limit=400))


def _states(work: state.Workspace) -> tuple[int | None, bool, int]:
    """Draw what all methods share: dimensions, their weights, and the seed."""
    dims = _dims(work)
    whiten = st.toggle(
        "Give every dimension the same weight",
        key="whiten",
        help="Scales each dimension to unit variance. Off: leading components keep their greater weight.",
    )
    seed = st.number_input(
        "Seed",
        min_value=0,
        max_value=MAX_SEED,
        value=0,
        step=1,
        key="seed",
        help="The same seed gives the same model.",
    )
    return dims, whiten, int(seed)


def _members(config: TrainConfig) -> int:
    """Draw how many members the ensemble has; nothing for a method that cannot have one."""
    if METHODS[config.method].why_no_ensemble(2):
        return 1
    usual = usual_members(config)
    picked = st.number_input(
        "Ensemble members",
        min_value=1,
        max_value=MAX_MEMBERS,
        value=usual,
        step=1,
        key=f"members-{config.method}-{usual}",
        help="Several copies of the model, each further one trained on a random half of your cells. Where "
        "copies disagree, the result depends on which cells happened to be measured, and the figures fade. "
        "1: no ensemble, and nothing is known of that.",
    )
    if not stacks(config):
        theme.hint("Each member takes as long as the model itself: with these settings none are cheap.")
    return int(picked)


def _dims(work: state.Workspace) -> int | None:
    available = int(work.adata.obsm[work.roles.rep].shape[1])
    usual = cache.snapshots(work.dataset).dim
    if available <= 2:
        return None
    picked = st.slider(
        "Leading dimensions",
        1,
        available,
        usual,
        key=state.key("dims", per="dataset"),
        help="How many components of the state to learn in. By default, principal components are kept up to "
        "90 % of the variance, at least 5 and at most 30; any other representation is used whole.",
    )
    return None if picked == usual else int(picked)
