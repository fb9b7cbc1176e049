// The Plotly figure of a map: cells, what lies over them, axes, names of groups.

import { escapeText } from "./dom.js";
import { arrowTraces, pathTraces, streamTraces } from "./overlays.js";

export const MOST_3D = 100000;
export const MARGIN = 26; // pixels for the names of the axes
const MAX_NAMES = 60;

export function pointSize(n, plotSize, spec) {
  if (spec.pointSize) return spec.pointSize;
  const diameter = Math.sqrt(120000 / Math.max(n, 1)) * (Math.max(240, plotSize) / 420);
  return Math.max(1.5, Math.min(9, diameter));
}

function look(group, { theme, opacity, hasRest }) {
  if (group.role === "rest") return { color: theme.rest, opacity: Math.min(0.35, opacity) };
  if (group.role === "missing") return { color: theme.missing, opacity: Math.min(0.5, opacity) };
  return { color: group.fill, opacity: hasRest ? Math.max(0.85, opacity) : opacity };
}

export function cellTraces(map, theme) {
  const three = map.dims === 3;
  const hasRest = map.groups.some((group) => group.role === "rest");
  return map.groups.map((group) => {
    const style = look(group, { theme, opacity: map.opacity, hasRest });
    const size = map.size * (three ? 0.8 : 1);
    const trace = {
      type: three ? "scatter3d" : "scattergl",
      mode: "markers",
      x: group.axes[0],
      y: group.axes[1],
      hoverinfo: three ? "none" : "skip",
      showlegend: false,
      opacity: three ? style.opacity : 1,
      marker: { color: style.color, size, opacity: three ? 1 : style.opacity, line: { width: 0 } },
    };
    return three ? { ...trace, z: group.axes[2] } : trace;
  });
}

export function overTraces(map, theme) {
  return [...streamTraces(map, theme), ...arrowTraces(map, theme), ...pathTraces(map, theme)];
}

// Names on the data, largest groups first; a name that would cover another one moves a little or is left out.
export function names(map, theme, pixels) {
  if (!map.showLabels || map.colour.kind !== "categories" || map.dims === 3) return [];
  const placed = [];
  const order = [...map.counts.slice(0, -1).keys()]
    .filter((code) => map.medians[code] && (!map.emphasisCodes || map.emphasisCodes.has(code)))
    .sort((a, b) => map.counts[b] - map.counts[a])
    .slice(0, MAX_NAMES);
  for (const code of order) {
    const text = clip(map.colour.names[code], 28);
    const [x, y] = map.medians[code];
    const [px, py] = pixels(x, y);
    const width = 7 * text.length + 6;
    const shift = [0, 15, -15, 30, -30].find((dy) => placed.every((p) => apart(p, px, py + dy, width)));
    if (shift === undefined) continue;
    placed.push({ px, py: py + shift, width });
    placed.at(-1).note = note(x, y, text, -shift, theme);
  }
  return placed.map((p) => p.note);
}

function apart(p, px, py, width) {
  return Math.abs(p.px - px) > (p.width + width) / 2 || Math.abs(p.py - py) > 15;
}

function clip(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function note(x, y, text, yshift, theme) {
  const halo = theme.dark ? "#0e1117" : "#ffffff";
  const shadow = ["1px 1px", "-1px 1px", "1px -1px", "-1px -1px", "0 0"].map((at) => `${at} 2px ${halo}`).join(", ");
  const font = { size: 13, color: theme.text, weight: 600, family: theme.font, shadow };
  return { x, y, xref: "x", yref: "y", text: escapeText(text), showarrow: false, yshift, font };
}

export const EYE = { x: 1.0, y: 1.0, z: 0.8 };

const HIDDEN = { showgrid: false, zeroline: false, showticklabels: false, ticks: "", showline: false };

export function flatLayout(map, theme, { ranges, annotations }) {
  const title = (text) => ({
    text: escapeText(text ?? ""),
    standoff: 2,
    font: { size: 13, color: theme.text, family: theme.font },
  });
  return {
    margin: { l: MARGIN, r: 0, t: 0, b: MARGIN, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    hovermode: false,
    dragmode: false,
    uirevision: map.spec.xy.id,
    font: { family: theme.font, color: theme.text, size: 13 },
    xaxis: { ...HIDDEN, fixedrange: true, range: ranges[0].slice(), title: title(map.spec.axes[0]) },
    yaxis: {
      ...HIDDEN,
      fixedrange: true,
      range: ranges[1].slice(),
      title: title(map.spec.axes[1]),
      scaleanchor: "x",
      scaleratio: 1,
    },
    annotations,
  };
}

export function solidLayout(map, theme, camera) {
  const axis = (k) => ({
    ...HIDDEN,
    showbackground: false,
    showspikes: false,
    visible: true,
    title: { text: escapeText(map.spec.axes[k] ?? ""), font: { size: 13, color: theme.text, family: theme.font } },
  });
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    hovermode: "closest",
    uirevision: map.spec.xy.id,
    font: { family: theme.font, color: theme.text, size: 13 },
    scene: { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: "data", dragmode: "turntable", camera: camera ?? { eye: EYE } },
  };
}

// Ranges that hold all cells with a margin, in the shape of the plot so that one unit is as long on both axes.
export function homeRanges({ low, high }, [width, height]) {
  const pad = 1.08;
  const unit = Math.max(((high[0] - low[0]) * pad) / width, ((high[1] - low[1]) * pad) / height);
  const middle = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  return [width, height].map((length, d) => [middle[d] - (unit * length) / 2, middle[d] + (unit * length) / 2]);
}
