// Lines over the cells: streamlines, arrows, predicted paths.

const WIDTHS = [0.7, 1.1, 1.5, 2.0, 2.6];
const FADES = [0.16, 0.4, 0.68, 0.94];
const level = (value, steps) => Math.max(0, Math.min(steps - 1, Math.floor(value * steps)));

function lineTrace(map, points, line, extra = {}) {
  const three = map.dims === 3;
  const trace = {
    type: three ? "scatter3d" : "scatter",
    mode: "lines",
    x: points[0],
    y: points[1],
    hoverinfo: "skip",
    showlegend: false,
    connectgaps: false,
    line: { ...line, width: line.width * (three ? 2 : lineScale(map)), ...(three ? {} : { simplify: true }) },
    ...extra,
  };
  return three ? { ...trace, z: points[2] } : trace;
}

function push(lists, values, at, dims) {
  for (let d = 0; d < dims; d++) lists[d].push(at < 0 ? NaN : values[at * dims + d]);
}

function quantile(values, q) {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] || 0;
}

// Each stretch of a line goes to the list of its width (speed) and its opacity (agreement).
export function streamTraces(map, theme) {
  const streams = map.arrays.streamlines;
  if (!streams) return [];
  const { dims } = map;
  const { xy, starts, speed, agreement } = streams;
  const fastest = speed ? quantile(speed, 0.95) || 1 : 1;
  const lists = Array.from({ length: WIDTHS.length * FADES.length }, () => Array.from({ length: dims }, () => []));
  const bin = (i) => {
    const width = speed ? level(speed[i] / fastest, WIDTHS.length) : 2;
    return width * FADES.length + (agreement ? level(agreement[i], FADES.length) : FADES.length - 1);
  };
  for (let k = 0; k + 1 < starts.length; k++) {
    let current = -1;
    for (let i = starts[k]; i < starts[k + 1]; i++) {
      const now = i + 1 < starts[k + 1] ? bin(i) : current;
      if (current >= 0) push(lists[current], xy, i, dims);
      if (now === current) continue;
      if (current >= 0) push(lists[current], xy, -1, dims);
      push(lists[now], xy, i, dims);
      current = now;
    }
    if (current >= 0) push(lists[current], xy, -1, dims);
  }
  const traces = lists
    .map((points, j) => {
      const line = { color: theme.stream, width: WIDTHS[Math.floor(j / FADES.length)] };
      return points[0].length ? lineTrace(map, points, line, { opacity: FADES[j % FADES.length] }) : null;
    })
    .filter(Boolean);
  return [...traces, heads(map, streamHeads(map, streams), theme, 9)];
}

// One arrowhead in the middle of a line, two on a long one.
function streamHeads(map, { xy, starts, agreement }) {
  const { dims } = map;
  const span = spanOf(map);
  const step = (i) => Array.from({ length: dims }, (_, d) => xy[i * dims + d] - xy[(i - 1) * dims + d]);
  const found = [];
  for (let k = 0; k + 1 < starts.length; k++) {
    const along = [0];
    for (let i = starts[k] + 1; i < starts[k + 1]; i++) along.push(along.at(-1) + Math.hypot(...step(i)));
    const length = along.at(-1);
    for (const part of length > 0.3 * span ? [0.3, 0.75] : [0.55]) {
      const at = starts[k] + Math.max(1, along.findIndex((s) => s >= part * length));
      if (at >= starts[k + 1] || length < 0.01 * span) continue;
      const place = Array.from({ length: dims }, (_, d) => xy[at * dims + d]);
      found.push({ place, to: step(at), agreement: agreement ? agreement[at] : 1 });
    }
  }
  return found;
}

function spanOf(map) {
  return Math.max(...map.extent.high.map((high, d) => high - map.extent.low[d]));
}

function heads(map, found, theme, size) {
  if (map.dims === 3) return cones(map, found, theme, size);
  return {
    type: "scatter",
    mode: "markers",
    x: found.map((h) => h.place[0]),
    y: found.map((h) => h.place[1]),
    hoverinfo: "skip",
    showlegend: false,
    marker: {
      symbol: "triangle-up",
      size: size * (0.5 + 0.5 * lineScale(map)),
      color: theme.stream,
      angle: found.map((h) => (Math.atan2(h.to[0], h.to[1]) * 180) / Math.PI),
      opacity: found.map((h) => FADES[level(h.agreement, FADES.length)]),
      line: { width: 0 },
    },
  };
}

function cones(map, found, theme, size) {
  const length = 0.0022 * size * spanOf(map);
  const unit = ({ to }, d) => (length * to[d]) / (Math.hypot(...to) || 1);
  const [x, y, z] = [0, 1, 2].map((d) => found.map((h) => h.place[d]));
  const [u, v, w] = [0, 1, 2].map((d) => found.map((h) => unit(h, d)));
  const colorscale = [[0, theme.stream], [1, theme.stream]];
  const scale = { sizemode: "raw", sizeref: 1, anchor: "tip", colorscale };
  return { type: "cone", x, y, z, u, v, w, ...scale, showscale: false, hoverinfo: "skip", opacity: 0.85 };
}

// Lines are thinner on a small map.
function lineScale(map) {
  const [width, height] = map.plotSize();
  return Math.max(0.5, Math.min(1, Math.min(width, height) / 560));
}

export function arrowTraces(map, theme) {
  const arrows = map.arrays.arrows;
  if (!arrows) return [];
  const { dims } = map;
  const { xy, uv, agreement } = arrows;
  const lists = FADES.map(() => Array.from({ length: dims }, () => []));
  const tips = [];
  for (let i = 0; i < agreement.length; i++) {
    const points = lists[level(agreement[i], FADES.length)];
    for (let d = 0; d < dims; d++) {
      const start = xy[i * dims + d];
      points[d].push(start, start + uv[i * dims + d], NaN);
    }
    const to = Array.from(uv.subarray(i * dims, (i + 1) * dims));
    tips.push({ place: to.map((part, d) => xy[i * dims + d] + part), to, agreement: agreement[i] });
  }
  const line = { color: theme.stream, width: 1.1 };
  const traces = lists
    .map((points, j) => (points[0].length ? lineTrace(map, points, line, { opacity: FADES[j] }) : null))
    .filter(Boolean);
  return [...traces, heads(map, tips, theme, 6)];
}

const LOOKS = { solid: 0.6, dot: 0.5, dash: 0.45 }; // how opaque
const SPARSE = "1.5px,4.5px"; // sparser than Plotly's dots; in 3-D only those are known

// Predicted paths: solid while they stay within the data and members agree, dotted from where members of an
// ensemble part, dashed from where the path has left the data.
export function pathTraces(map, theme) {
  const paths = map.arrays.paths;
  if (!paths) return [];
  const { dims } = map;
  const { spec, xy, inside, apart } = paths;
  const steps = spec.times.length;
  const lists = new Map();
  const listOf = (colour, dash) => {
    const name = `${colour} ${dash}`;
    if (!lists.has(name)) lists.set(name, { colour, dash, points: Array.from({ length: dims }, () => []) });
    return lists.get(name).points;
  };
  const look = (at) => (!inside[at] ? "dash" : apart?.[at] ? "dot" : "solid");
  for (const i of spec.drawn) {
    const colour = pathColour(paths, i, theme);
    let current = null;
    for (let t = 0; t < steps; t++) {
      const now = t ? look(t * spec.n + i) : "solid";
      if (now !== current && current) push(listOf(colour, current), xy, -1, dims);
      if (now !== current && t) push(listOf(colour, now), xy, (t - 1) * spec.n + i, dims);
      push(listOf(colour, now), xy, t * spec.n + i, dims);
      current = now;
    }
    push(listOf(colour, current), xy, -1, dims);
  }
  const pattern = (dash) => (dash === "dot" && dims === 2 ? SPARSE : dash);
  return [...lists.values()].map(({ colour, dash, points }) =>
    lineTrace(map, points, { color: colour, width: 1.4, dash: pattern(dash) }, { opacity: LOOKS[dash] }),
  );
}

export function pathColour(paths, i, theme) {
  if (!paths.codes) return theme.dark ? "#ffb454" : "#c2410c";
  return paths.spec.colours[paths.codes[i]] ?? paths.spec.missing;
}
