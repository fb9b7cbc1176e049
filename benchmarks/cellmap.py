"""How quickly the cell map draws, recolours, selects and pans, in headless Chromium with software graphics.

Run `python -m benchmarks.cellmap` (needs chromium and playwright); `--cells 200000` chooses the sizes. The
numbers are an upper bound: a real graphics card is quicker.
"""

import argparse
import os
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.serving import QUIET, SOFTWARE_GL, chromium, serve

ROOT = Path(__file__).resolve().parents[1]
APP = """
import streamlit as st
from ui.cellmap import routes
app = st.App("page.py", routes=routes())
"""
PAGE = """
import numpy as np
import streamlit as st
from ui.cellmap import Categories, Levels, cell_map

st.set_page_config(layout="wide")
n = int(st.query_params["n"])

@st.cache_data
def make(n):
    rng = np.random.default_rng(0)
    group = rng.integers(0, 30, n)
    xy = (rng.normal(0, 6, (30, 2))[group] + rng.normal(0, 1.2, (n, 2))).astype(np.float32)
    genes = [np.maximum(0, rng.normal(np.sin(xy[:, 0] / (2 + g)), 0.5)).astype(np.float32) for g in range(3)]
    return xy, group, genes

xy, group, genes = make(n)
name = st.segmented_control("Colour", ["cell type", "gene 0", "gene 1", "gene 2"], default="cell type")
if name == "cell type":
    colour = Categories(group, tuple(f"type {k}" for k in range(30)), label=name)
else:
    colour = Levels(genes[int(name[-1])], name)
event = cell_map("map", xy=xy, colour=colour, selection="lasso", alt="synthetic cells", height=640,
    renderer=st.query_params["renderer"])
st.write(f"Python has {event.n if event else 0} cells")
"""
READY = "document.querySelector('.ds-map')?.dataset.ready === '1'"
DATA = "({...document.querySelector('.ds-map').dataset})"
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"


def timed(page: Page, act: str, until: str) -> float:
    """Seconds from clicking a button called `act` until a condition holds and the result is painted."""
    start = time.perf_counter()
    page.locator("[data-testid=stButtonGroup] button", has_text=act).click()
    page.wait_for_function(until, polling="raf", timeout=120_000)
    page.evaluate(PAINTED)
    return time.perf_counter() - start


def colour_switches(page: Page) -> list[float]:
    """Seconds for each of four changes of colour."""
    condition = "document.querySelector('.ds-map').dataset.colour === '{}'"
    return [timed(page, name, condition.format(name)) for name in ("gene 0", "gene 1", "gene 2", "cell type")]


def lasso_half(page: Page) -> tuple[float, float, int]:
    """Seconds until half the cells are highlighted and until Python has them, and how many they are."""
    page.get_by_role("button", name="Choose cells with a lasso").click()
    box = page.locator(".ds-plot").bounding_box()
    left, top = box["x"] + 4, box["y"] + 4
    right, bottom = box["x"] + 0.5 * box["width"], box["y"] + box["height"] - 4
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(x, y, steps=25)
    start = time.perf_counter()
    page.mouse.up()
    page.wait_for_function("+document.querySelector('.ds-map').dataset.selected > 0", timeout=120_000)
    shown = time.perf_counter() - start
    chosen = int(page.evaluate(DATA)["selected"])
    page.get_by_text(f"Python has {chosen} cells").wait_for(timeout=120_000)
    return shown, time.perf_counter() - start, chosen


def pan(page: Page) -> float:
    """Milliseconds per step while the map is dragged."""
    page.get_by_role("button", name="Move the map").click()
    box = page.locator(".ds-plot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    start = time.perf_counter()
    for step in range(10):
        page.mouse.move(x + 6 * step, y + 3 * step)
        page.evaluate(PAINTED)
    milliseconds = 100 * (time.perf_counter() - start)
    page.mouse.up()
    return milliseconds


def measure(address: str, n: int, renderer: str) -> dict[str, str]:
    """All figures for one number of cells and one way to draw them."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, *SOFTWARE_GL])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        urllib.request.urlopen(address).read()
        start = time.perf_counter()
        page.goto(f"{address}/?n={n}&renderer={renderer}")
        page.wait_for_function(READY, timeout=180_000)
        first = time.perf_counter() - start
        draw = int(page.evaluate(DATA)["drawMs"]) / 1000
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(1500)
        zoomed = page.evaluate(DATA)["range"]
        switches = colour_switches(page)
        kept = page.evaluate(DATA)["range"] == zoomed
        page.get_by_role("button", name="Show all cells").click()
        page.wait_for_timeout(1500)
        shown, known, chosen = lasso_half(page)
        step = pan(page)
        again = timed(page, "gene 0", "document.querySelector('.ds-map').dataset.colour === 'gene 0'")
        selected = page.evaluate(DATA)["selected"] == str(chosen)
        painter = page.evaluate(DATA)["renderer"]
        browser.close()
    each = ", ".join(f"{seconds:.2f}" for seconds in switches)
    return {
        "cells": f"{n:,}, {painter}",
        "first view": f"{first:.1f} s (drawing {draw:.2f} s)",
        "colour switch": f"{statistics.median(switches[:3]):.2f} s ({each})",
        "switch with selection": f"{again:.2f} s",
        "lasso": f"{chosen:,} cells shown {shown:.2f} s, in Python {known:.2f} s",
        "pan": f"{step:.0f} ms per step",
        "zoom kept": "yes" if kept else "NO",
        "selection kept": "yes" if selected else "NO",
        "errors": "; ".join(errors) or "none",
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--renderers", nargs="+", default=["auto", "webgl"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "page.py").write_text(PAGE)
        server = serve(folder, cwd=folder)
        columns = [measure(server.url, n, how) for n in options.cells for how in options.renderers]
        server.stop()
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    for column in columns:
        for name, value in column.items():
            print(f"{name:22} {value}")
        print()


if __name__ == "__main__":
    main()
