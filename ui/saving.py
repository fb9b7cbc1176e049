"""A figure with the ways to keep it: the camera above it for a picture, and a page that needs no network."""

from collections.abc import Mapping

import streamlit as st

PICTURES = {"svg": "SVG", "png": "PNG"}
ALONE = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline' "
    "'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; font-src data:\">"
)
"""A saved page asks nothing of any network: its browser is told to forbid it."""
RESOLUTION = 3  # pixels of a PNG for each on the screen


def figure(drawn, *, name: str, alt: str) -> None:
    """Draw a Plotly figure, and how to save it as SVG, PNG or a self-contained page.

    Parameters
    ----------
    name
        Of the saved files, without ending; also the key of the widgets.
    alt
        What the figure shows, for screen readers.
    """
    kind = st.session_state.get(f"picture-{name}") or "svg"
    picture = {"format": kind, "filename": name, "scale": RESOLUTION if kind == "png" else 1}
    config = {"displaylogo": False, "toImageButtonOptions": picture}
    st.plotly_chart(drawn, key=f"figure-{name}", width="stretch", config=config, alt=alt)
    with st.popover("Save figure", key=f"save-{name}"):
        st.segmented_control(
            "Picture from the camera above the figure",
            list(PICTURES),
            default="svg",
            required=True,
            format_func=PICTURES.get,
            key=f"picture-{name}",
        )
        st.download_button(
            "Page (HTML)",
            data=lambda: page(drawn, config),
            file_name=f"{name}.html",
            mime="text/html",
            on_click="ignore",
            key=f"page-{name}",
            help="Opens in any browser, also without a network, and can be zoomed.",
        )


def page(drawn, config: Mapping[str, object]) -> bytes:
    """Return a figure as a page of its own, which needs no network and is allowed none."""
    text = drawn.to_html(include_plotlyjs=True, full_html=True, config=dict(config))
    return text.replace("<head>", f"<head>{ALONE}", 1).encode()
