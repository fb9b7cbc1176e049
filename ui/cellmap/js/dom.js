// Small helpers for the page: elements, icons, theme. Text always goes in as text, never as markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const ICONS = {
  pan: "M12 2v20M2 12h20M12 2l-3 3M12 2l3 3M12 22l-3-3M12 22l3-3M2 12l3-3M2 12l3 3M22 12l-3-3M22 12l-3 3",
  lasso: "M12 4c5 0 9 2.4 9 5.8s-4 5.7-9 5.7-9-2.3-9-5.7S7 4 12 4zM7 15c-2 1-2.6 3.6-.6 4.2 1.7.5 2.4 1 2 2.8",
  box: "M4 4h3M10.500 4h3M17 4h3v3M20 10.500v3M20 17v3h-3M13.500 20h-3M7 20H4v-3M4 13.500v-3M4 7V4",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  home: "M4 11l8-7 8 7M6 10v10h12V10",
  tag: "M4 4h8l8 8-8 8-8-8zM8.500 8.500h.01",
  wind: "M3 9h11a3 3 0 1 0-3-3M3 13h15a3 3 0 1 1-3 3M3 17h7a2 2 0 1 1-2 2",
  sliders: "M4 7h10M18 7h2M16 5v4M4 17h2M10 17h10M8 15v4",
  save: "M12 4v11M8 11l4 4 4-4M5 19h14",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  play: "M7 4.500v15l12-7.500z",
  pause: "M7 5v14M17 5v14",
  close: "M6 6l12 12M18 6L6 18",
};

export function icon(name) {
  const box = svg("svg", { viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" });
  const fill = name === "play" ? "currentColor" : "none";
  const style = { fill, stroke: "currentColor", "stroke-width": 1.8 };
  box.append(svg("path", { d: ICONS[name], ...style, "stroke-linecap": "round", "stroke-linejoin": "round" }));
  return box;
}

export function button(label, iconName, onclick, { text = false, ...attributes } = {}) {
  const node = el("button", { type: "button", title: label, "aria-label": label, onclick, ...attributes });
  node.append(icon(iconName));
  if (text) node.append(el("span", {}, label));
  return node;
}

export function setIcon(node, name, label) {
  node.querySelector("svg").replaceWith(icon(name));
  node.title = label;
  node.setAttribute("aria-label", label);
  const text = node.querySelector("span");
  if (text) text.textContent = label;
}

const ACTING = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "{": "&#123;", $: "&#36;" };

// Names from files, for Plotly, which reads a little markup, templates and formulas; a picture takes no control signs.
export function escapeText(text) {
  const sign = (c) => String.fromCharCode(0x2400 + (c === "\x7f" ? 0x21 : c.charCodeAt(0)));
  const flat = String(text).replace(/\s+/g, " ").replace(/[\x00-\x1f\x7f]/g, sign);
  return flat.replace(/[\x80-\x9f\ufffe\uffff]/g, "\ufffd").replace(/[&<>{$]/g, (c) => ACTING[c]);
}

export function count(n) {
  return Number(n).toLocaleString("en-US");
}

export function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

function luminance(colour) {
  const context = el("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}

export function readTheme(node) {
  const style = getComputedStyle(node);
  const value = (name, fallback) => style.getPropertyValue(`--st-${name}`).trim() || fallback;
  const background = value("background-color", "#ffffff");
  const dark = luminance(background) < 0.5;
  return {
    dark,
    background,
    text: value("text-color", dark ? "#fafafa" : "#1f2430"),
    font: value("font", "sans-serif"),
    accent: value("primary-color", "#1f77b4"),
    stream: dark ? "#f2f4f8" : "#10131a",
    rest: dark ? "#4b5160" : "#c3c8d0",
    missing: dark ? "#6b7280" : "#bdbdbd",
  };
}

export const PAPER = {
  dark: false,
  background: "#ffffff",
  text: "#1f2430",
  font: "Helvetica, Arial, sans-serif",
  accent: "#1f77b4",
  stream: "#10131a",
  rest: "#d5d8dd",
  missing: "#bdbdbd",
};
