// The legend: names with counts that can be clicked, or a colour bar.

import { count, el, short } from "./dom.js";

const MOST_ROWS = 300;
const SEARCH_FROM = 16;

export function showLegend(map) {
  const { legend } = map.parts;
  const before = legend.querySelector(".ds-rows")?.scrollTop ?? 0;
  const query = legend.querySelector("input")?.value ?? "";
  legend.replaceChildren();
  if (map.colour.label) legend.append(el("div", { class: "ds-legend-title" }, map.colour.label));
  if (map.colour.kind === "levels") legend.append(bar(map));
  else list(map, legend, query);
  const rows = legend.querySelector(".ds-rows");
  if (rows) rows.scrollTop = before;
}

function swatch(colour) {
  const dot = el("i", { class: "ds-dot", "aria-hidden": "true" });
  dot.style.background = colour;
  return dot;
}

function list(map, legend, query) {
  const { names, colours } = map.colour;
  const rows = el("div", { class: "ds-rows", role: "group", "aria-label": "Groups; click one to show it alone" });
  let order = [...names.keys()].filter((code) => map.counts[code] > 0);
  if (order.length > MOST_ROWS) order = order.sort((a, b) => map.counts[b] - map.counts[a]);
  const fill = (text) => {
    const wanted = text.trim().toLowerCase();
    const found = wanted ? order.filter((code) => names[code].toLowerCase().includes(wanted)) : order;
    rows.replaceChildren(...found.slice(0, MOST_ROWS).map((code) => row(map, code, names[code], colours[code])));
    if (found.length > MOST_ROWS) rows.append(el("div", { class: "ds-more" }, `and ${count(found.length - MOST_ROWS)} more`));
    const missing = map.counts.at(-1);
    if (missing && !wanted) rows.append(plainRow(map.theme.missing, "no value", missing));
  };
  if (names.length >= SEARCH_FROM) {
    const oninput = (event) => fill(event.target.value);
    legend.append(el("input", { type: "search", placeholder: "Find a group", "aria-label": "Find a group", value: query, oninput }));
  }
  fill(query);
  legend.append(rows);
  if (map.emphasisCodes) {
    legend.append(el("button", { type: "button", class: "ds-all", onclick: () => map.pickGroups(null) }, "Show all groups"));
  }
}

function row(map, code, name, colour) {
  const on = map.emphasisCodes?.has(code) ?? false;
  const off = map.emphasisCodes && !on;
  const node = el(
    "button",
    {
      type: "button",
      class: off ? "ds-row ds-off" : "ds-row",
      "aria-pressed": String(on),
      "data-code": code,
      title: `${name}: ${count(map.counts[code])} cells. Click to show alone, with Shift or Ctrl to add.`,
      onclick: (event) => map.pickGroups(code, event.shiftKey || event.ctrlKey || event.metaKey),
    },
    swatch(colour),
    el("span", { class: "ds-name" }, name),
    el("span", { class: "ds-count" }, count(map.counts[code])),
  );
  return node;
}

function plainRow(colour, name, n) {
  return el(
    "div",
    { class: "ds-row" },
    swatch(colour),
    el("span", { class: "ds-name" }, name),
    el("span", { class: "ds-count" }, count(n)),
  );
}

function bar(map) {
  const { colours, low, high, unit } = map.colour;
  const ramp = el("div", { class: "ds-ramp", "aria-hidden": "true" });
  ramp.style.setProperty("--ramp", colours.join(","));
  const suffix = unit ? ` ${unit}` : "";
  const ends = el(
    "div",
    { class: "ds-ends" },
    el("span", {}, `${short(high)}${suffix}`),
    el("span", {}, short((low + high) / 2)),
    el("span", {}, `${short(low)}${suffix}`),
  );
  const box = el("div", { class: "ds-bar", role: "img", "aria-label": `from ${short(low)} to ${short(high)}${suffix}` }, ramp, ends);
  const missing = map.counts.at(-1);
  return missing ? el("div", {}, box, plainRow(map.theme.missing, "no value", missing)) : box;
}
