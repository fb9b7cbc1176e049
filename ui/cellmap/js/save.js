// Saved figures: made in the browser, always on white, with the legend, from what the map shows now.

import { frame } from "./axes.js";
import { PAPER, escapeText } from "./dom.js";
import { cellTraces, flatLayout, names, overTraces, solidLayout } from "./figure.js";
import { paint } from "./raster.js";

// A saved page asks nothing of any network: its browser is told to forbid it.
const ALONE = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; font-src data:">`;
const DENSITY = 3;
const MOST_LEGEND = 40;

function download(name, data, type) {
  const url = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export async function save(map, kind) {
  const name = `${map.spec.filename.replace(/[^\w.-]+/g, "-").slice(0, 80) || "cell-map"}.${kind}`;
  if (kind === "html") return download(name, await page(map), "text/html");
  const figure = map.dims === 3 ? solidFigure(map) : flatFigure(map);
  const { width, height } = figure.layout;
  const url = await window.Plotly.toImage(figure, { format: kind, width, height, scale: kind === "png" ? 2 : 1 });
  download(name, await (await fetch(url)).blob());
}

function legendTraces(map, three) {
  const type = three ? "scatter3d" : "scatter";
  const empty = three ? { x: [null], y: [null], z: [null] } : { x: [null], y: [null] };
  const { colour } = map;
  if (colour.kind === "levels") {
    const colorscale = colour.colours.map((c, k) => [k / (colour.colours.length - 1), c]);
    const title = { text: escapeText([colour.label, colour.unit && `(${colour.unit})`].filter(Boolean).join(" ")), side: "top" };
    const colorbar = { title, thickness: 12, len: 0.45, outlinewidth: 0, y: 0.75 };
    const marker = { color: [colour.low], cmin: colour.low, cmax: colour.high, colorscale, showscale: true, colorbar, size: 0.1 };
    return [{ type, mode: "markers", ...empty, marker, showlegend: false, hoverinfo: "skip" }];
  }
  const codes = [...colour.names.keys()].filter((c) => map.counts[c] && (!map.emphasisCodes || map.emphasisCodes.has(c)));
  const shown = codes.length > MOST_LEGEND ? codes.sort((a, b) => map.counts[b] - map.counts[a]).slice(0, MOST_LEGEND) : codes;
  return shown.map((code) => ({
    type,
    mode: "markers",
    ...empty,
    name: escapeText(colour.names[code]),
    marker: { color: colour.colours[code], size: 9, opacity: 1 },
    showlegend: true,
    hoverinfo: "skip",
  }));
}

function cloudTraces(map) {
  const { paths } = map.motion;
  if (!paths || map.dims === 3) return map.motion.traces();
  const { now } = map.motion.places();
  const x = Array.from({ length: now.length / 2 }, (_, i) => now[2 * i]);
  const y = Array.from({ length: now.length / 2 }, (_, i) => now[2 * i + 1]);
  const color = paths.codes ? x.map((_, i) => paths.spec.colours[paths.codes[i]] ?? paths.spec.missing) : "#c2410c";
  return [{ type: "scatter", mode: "markers", x, y, marker: { color, size: 5, line: { width: 0.6, color: "#fff" } }, hoverinfo: "skip", showlegend: false }];
}

function dress(map, layout, width, height) {
  const legend = { title: { text: escapeText(map.colour.label) }, itemsizing: "constant", font: { size: 13 } };
  return { ...layout, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", showlegend: true, legend, width, height };
}

// Cells as a picture of three dots per pixel, all else as lines and text.
function flatFigure(map) {
  const f = frame(map);
  const size = { width: Math.round(f.width * DENSITY), height: Math.round(f.height * DENSITY) };
  const canvas = document.createElement("canvas");
  Object.assign(canvas, size);
  const picture = paint(cellTraces(map, PAPER), { ...size, x: f.x, y: f.y, ratio: DENSITY });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const layout = plainLayout(map, f);
  const place = { xref: "x", yref: "y", x: f.x[0], y: f.y[1], sizex: f.x[1] - f.x[0], sizey: f.y[1] - f.y[0] };
  layout.images = [{ source: canvas.toDataURL("image/png"), ...place, sizing: "stretch", layer: "below" }];
  return { data: [...overTraces(map, PAPER), ...cloudTraces(map), ...legendTraces(map, false)], layout };
}

function plainLayout(map, f) {
  const { toPixels } = map;
  const annotations = names(map, PAPER, toPixels);
  const layout = flatLayout(map, PAPER, { ranges: [f.x, f.y], annotations });
  const room = map.colour.kind === "levels" ? 110 : 200;
  return dress(map, { ...layout, margin: { l: 30, r: room, t: 12, b: 30 } }, Math.round(f.width) + 30 + room, Math.round(f.height) + 42);
}

function solidFigure(map) {
  map.camera.remember();
  const layout = solidLayout(map, PAPER, map.camera.eye);
  const data = [...cellTraces(map, PAPER), ...overTraces(map, PAPER), ...cloudTraces(map), ...legendTraces(map, true)];
  return { data, layout: dress(map, layout, map.parts.plot.clientWidth + 180, map.parts.plot.clientHeight) };
}

function base64(typed) {
  const bytes = new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

function pack(trace) {
  const packed = { ...trace };
  for (const axis of ["x", "y", "z"]) {
    if (trace[axis] instanceof Float32Array) packed[axis] = { dtype: "f4", bdata: base64(trace[axis]) };
  }
  return packed;
}

// One file that needs nothing else: plotly.js, the figure, and the description.
async function page(map) {
  const three = map.dims === 3;
  const figure = three ? solidFigure(map) : { layout: plainLayout(map, frame(map)) };
  const cells = cellTraces(map, PAPER).map(pack);
  const data = three ? figure.data.map(pack) : [...cells, ...overTraces(map, PAPER), ...cloudTraces(map), ...legendTraces(map, false)];
  const { width, height, ...layout } = figure.layout;
  const json = JSON.stringify({ data, layout: { ...layout, autosize: true } }).replace(/</g, "\\u003c");
  const library = await (await fetch(`${map.root}/api/map/plotly/${map.spec.plotly}.js`)).text();
  const title = escapeText(map.spec.alt);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">${ALONE}<title>${title}</title><style>
body{margin:0;font:14px Helvetica,Arial,sans-serif;color:#1f2430}#map{height:calc(100vh - 60px)}p{margin:8px 16px}
.svg-container>.gl-container{z-index:0}.svg-container>.main-svg{z-index:1}.svg-container>.main-svg:first-child{background:none!important}
</style></head><body><div id="map"></div><p>${title}</p><script>${library.replace(/<\/script/gi, "<\\/script")}</script>
<script>const figure=${json};Plotly.newPlot("map",figure.data,figure.layout,{responsive:true,scrollZoom:true,displaylogo:false});</script></body></html>`;
}
