// The map's page elements: bar of tools, plot, legend, time bar, line of status.

import { button, count, el, setIcon } from "./dom.js";

export function build(box, map) {
  box.replaceChildren();
  const parts = { box };
  parts.tools = tools(map, parts);
  parts.gd = el("div", { class: "ds-gd" });
  parts.raster = el("canvas", { class: "ds-raster", "aria-hidden": "true" });
  parts.flow = el("canvas", { class: "ds-flow", "aria-hidden": "true" });
  parts.cloud = el("canvas", { class: "ds-cloud", "aria-hidden": "true" });
  parts.overlay = el("div", { class: "ds-overlay" });
  parts.tip = el("div", { class: "ds-tip", role: "status", hidden: true });
  parts.hint = el("div", { class: "ds-hint", hidden: true });
  parts.wait = el("div", { class: "ds-wait" }, el("span", {}, "Drawing cells…"));
  parts.plot = el("div", { class: "ds-plot", tabindex: 0, role: "img" });
  parts.plot.append(parts.raster, parts.gd, parts.flow, parts.cloud, parts.overlay, parts.tip, parts.hint, parts.wait);
  parts.legend = el("div", { class: "ds-legend" });
  parts.body = el("div", { class: "ds-body" }, parts.plot, parts.legend);
  parts.time = el("div", { class: "ds-time", hidden: true });
  parts.status = el("div", { class: "ds-status", "aria-live": "polite" });
  box.append(parts.tools, parts.body, parts.time, parts.status);
  return parts;
}

function tools(map, parts) {
  const mode = (name, label, icon) =>
    button(label, icon, () => map.setMode(name), { "data-mode": name, "aria-pressed": name === "pan" });
  parts.modes = el(
    "div",
    { class: "ds-set", role: "group", "aria-label": "What dragging does" },
    mode("pan", "Move the map", "pan"),
    mode("lasso", "Choose cells with a lasso", "lasso"),
    mode("box", "Choose cells with a box", "box"),
  );
  const zoom = el(
    "div",
    { class: "ds-set", role: "group", "aria-label": "Zoom" },
    button("Zoom in", "plus", () => map.camera.zoom(1 / 1.5)),
    button("Zoom out", "minus", () => map.camera.zoom(1.5)),
    button("Show all cells", "home", () => map.camera.home()),
  );
  parts.flowButton = button("Play flow", "wind", () => map.particles.toggle(), { class: "ds-wide", text: true });
  parts.labelButton = button("Names on the map", "tag", () => map.toggleLabels(), { "aria-pressed": "true" });
  const look = menu("Size and opacity of cells", "sliders", lookMenu(map, parts));
  const save = menu("Save this map", "save", saveMenu(map));
  parts.fullButton = button("Full screen", "full", () => map.fullScreen());
  const end = el("div", { class: "ds-set ds-end" }, parts.labelButton, look, save, parts.fullButton);
  return el("div", { class: "ds-tools", role: "toolbar", "aria-label": "Map tools" }, parts.modes, zoom, parts.flowButton, end);
}

// A button that opens a small panel; Escape or a click elsewhere closes it.
function menu(label, icon, panel) {
  const close = () => {
    panel.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
  };
  const outside = (event) => wrap.contains(event.target) || close();
  const toggle = () => {
    if (!panel.hidden) return close();
    panel.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    panel.querySelector("button, input")?.focus();
  };
  const opener = button(label, icon, toggle, { "aria-haspopup": "true", "aria-expanded": "false" });
  panel.hidden = true;
  const wrap = el("div", { class: "ds-menu" }, opener, panel);
  wrap.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.stopPropagation();
    close();
    opener.focus();
  });
  panel.addEventListener("click", (event) => event.target.closest("button") && close());
  return wrap;
}

function slider(label, attributes, oninput) {
  const input = el("input", { type: "range", oninput, ...attributes });
  return { row: el("label", { class: "ds-slider" }, el("span", {}, label), input), input };
}

function lookMenu(map, parts) {
  const size = slider("Size", { min: -1, max: 2, step: 0.05, value: 0 }, (e) => map.restyle({ scale: 2 ** e.target.value }));
  const fade = slider("Opacity", { min: 0.05, max: 1, step: 0.05, value: 1 }, (e) => map.restyle({ opacity: +e.target.value }));
  parts.sizeInput = size.input;
  parts.opacityInput = fade.input;
  return el("div", { class: "ds-panel" }, size.row, fade.row);
}

function saveMenu(map) {
  const item = (text, note, kind) =>
    el("button", { type: "button", onclick: () => map.save(kind) }, el("b", {}, text), el("small", {}, note));
  return el(
    "div",
    { class: "ds-panel ds-save" },
    item("PNG", "picture, white background, twice the size", "png"),
    item("SVG", "lines and text stay editable", "svg"),
    item("HTML", "interactive page that works offline", "html"),
  );
}

export function showModes(parts, { spec, mode }) {
  const choosing = Boolean(spec.selection) && spec.dims === 2;
  parts.modes.hidden = !choosing;
  for (const node of parts.modes.children) node.setAttribute("aria-pressed", String(node.dataset.mode === mode));
  parts.overlay.classList.toggle("ds-drawing", mode !== "pan");
  parts.plot.classList.toggle("ds-flat", spec.dims === 2);
}

export function showPlaying(parts, { available, playing }) {
  parts.flowButton.hidden = !available;
  setIcon(parts.flowButton, playing ? "pause" : "wind", playing ? "Stop flow" : "Play flow");
}

export function showStatus(map) {
  const { parts } = map;
  parts.status.replaceChildren();
  const chosen = map.chosen;
  if (chosen) {
    const text = `${count(chosen.total)} of ${count(map.spec.n)} cells chosen`;
    const clear = button("Clear", "close", () => map.choose(null), { text: true, class: "ds-clear" });
    parts.status.append(el("strong", {}, text), clear);
  } else if (map.spec.selection) {
    const how = map.dims === 2 ? "Draw a lasso or a box, or click names in the legend" : "Click names in the legend";
    parts.status.append(el("span", {}, `${how}, to choose cells.`));
  }
  for (const note of map.notes) parts.status.append(el("span", { class: "ds-note" }, note));
}
