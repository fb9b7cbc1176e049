// Work on the cells' arrays: extent, one list of points per colour, nearest cell, cells in a polygon, medians.

export function extent(xy, dims) {
  const low = new Array(dims).fill(Infinity);
  const high = new Array(dims).fill(-Infinity);
  for (let i = 0; i < xy.length; i += dims) {
    for (let d = 0; d < dims; d++) {
      const value = xy[i + d];
      if (!Number.isFinite(value)) continue;
      if (value < low[d]) low[d] = value;
      if (value > high[d]) high[d] = value;
    }
  }
  for (let d = 0; d < dims; d++) {
    if (low[d] > high[d]) [low[d], high[d]] = [0, 1];
    if (low[d] === high[d]) [low[d], high[d]] = [low[d] - 0.5, high[d] + 0.5];
  }
  return { low, high };
}

// From 100,000 points on, plotly.js builds a search tree per trace, which we do not need and which takes seconds.
const LONGEST = 99999;

// A number in [0, 2^32) that looks random but is the same each time.
function scramble(i) {
  let h = Math.imul(i ^ 0x9e3779b9, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// The distinct colours of a colouring and which one each code has; one trace is drawn per colour.
export function palette(colour) {
  const slots = new Map();
  const slotOf = new Int32Array(colour.colours.length);
  colour.colours.forEach((value, code) => {
    if (!slots.has(value)) slots.set(value, slots.size);
    slotOf[code] = slots.get(value);
  });
  return { colours: [...slots.keys()], slotOf };
}

// Sorts cells into lists: first those not emphasised, then those without a value, then one list per colour. Groups
// are drawn in random portions in turn, so that no group hides beneath another; values from low to high.
export function group({ xy, dims, codes, colour, emphasis, most }) {
  const n = codes.length;
  const { colours, slotOf } = palette(colour);
  const k = colours.length;
  const portions = colour.kind === "levels" || dims === 3 ? 1 : Math.max(1, Math.min(4, Math.floor(90 / k)));
  const lists = 2 + k * portions;
  const share = most && n > most ? (most / n) * 4294967296 : Infinity;
  const list = new Int32Array(n);
  const sizes = new Int32Array(lists + 1);
  for (let i = 0; i < n; i++) {
    list[i] = -1;
    const at = i * dims;
    if (!Number.isFinite(xy[at]) || !Number.isFinite(xy[at + 1]) || (dims === 3 && !Number.isFinite(xy[at + 2]))) continue;
    if (share !== Infinity && scramble(i + 7) >= share) continue;
    const code = codes[i];
    if (emphasis && !emphasis[i]) list[i] = 0;
    else if (code >= slotOf.length) list[i] = 1;
    else list[i] = 2 + slotOf[code] + (portions === 1 ? 0 : k * (scramble(i) % portions));
    sizes[list[i] + 1]++;
  }
  for (let j = 0; j < lists; j++) sizes[j + 1] += sizes[j];
  const starts = sizes.slice();
  const total = sizes[lists];
  const axes = Array.from({ length: dims }, () => new Float32Array(total));
  const cells = dims === 3 ? new Int32Array(total) : null;
  for (let i = 0; i < n; i++) {
    if (list[i] < 0) continue;
    const to = starts[list[i]]++;
    for (let d = 0; d < dims; d++) axes[d][to] = xy[i * dims + d];
    if (cells) cells[to] = i;
  }
  const groups = [];
  for (let j = 0; j < lists; j++) {
    const role = j === 0 ? "rest" : j === 1 ? "missing" : "cells";
    const fill = j < 2 ? null : colours[(j - 2) % k];
    for (let from = sizes[j]; from < sizes[j + 1]; from += LONGEST) {
      const to = Math.min(from + LONGEST, sizes[j + 1]);
      groups.push({ role, fill, axes: axes.map((axis) => axis.subarray(from, to)), cells: cells?.subarray(from, to) });
    }
  }
  return { groups, drawn: total };
}

export function tally(codes, size) {
  const counts = new Int32Array(size + 1);
  for (let i = 0; i < codes.length; i++) counts[Math.min(codes[i], size)]++;
  return counts;
}

function median(values) {
  values.sort();
  return values[values.length >> 1];
}

// Median place of each group, from at most 3,000 of its cells.
export function medians(xy, codes, counts) {
  const size = counts.length - 1;
  const steps = Array.from(counts, (c) => Math.max(1, Math.floor(c / 3000)));
  const seen = new Int32Array(size);
  const places = Array.from({ length: size }, () => [[], []]);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code >= size || seen[code]++ % steps[code] || !Number.isFinite(xy[2 * i] + xy[2 * i + 1])) continue;
    places[code][0].push(xy[2 * i]);
    places[code][1].push(xy[2 * i + 1]);
  }
  return places.map(([x, y]) => (x.length ? [median(Float32Array.from(x)), median(Float32Array.from(y))] : null));
}

// Boxes of about eight cells, to find the nearest one quickly.
export function index(xy, { low, high }) {
  const n = xy.length / 2;
  const side = Math.max(8, Math.min(1024, Math.round(Math.sqrt(n / 8))));
  const step = [(high[0] - low[0]) / side || 1, (high[1] - low[1]) / side || 1];
  const column = (x) => Math.max(0, Math.min(side - 1, Math.floor((x - low[0]) / step[0])));
  const row = (y) => Math.max(0, Math.min(side - 1, Math.floor((y - low[1]) / step[1])));
  const starts = new Int32Array(side * side + 1);
  const box = new Int32Array(n).fill(-1);
  for (let i = 0; i < n; i++) {
    if (!Number.isFinite(xy[2 * i] + xy[2 * i + 1])) continue;
    box[i] = row(xy[2 * i + 1]) * side + column(xy[2 * i]);
    starts[box[i] + 1]++;
  }
  for (let j = 0; j < side * side; j++) starts[j + 1] += starts[j];
  const fill = starts.slice();
  const cells = new Int32Array(starts[side * side]);
  for (let i = 0; i < n; i++) if (box[i] >= 0) cells[fill[box[i]]++] = i;
  return { side, column, row, starts, cells };
}

export function nearest(grid, xy, [x, y], radius) {
  let [best, found] = [radius * radius, -1];
  const [c0, c1] = [grid.column(x - radius), grid.column(x + radius)];
  const [r0, r1] = [grid.row(y - radius), grid.row(y + radius)];
  for (let r = r0; r <= r1; r++) {
    const from = grid.starts[r * grid.side + c0];
    const to = grid.starts[r * grid.side + c1 + 1];
    for (let j = from; j < to; j++) {
      const i = grid.cells[j];
      const distance = (xy[2 * i] - x) ** 2 + (xy[2 * i + 1] - y) ** 2;
      if (distance < best) [best, found] = [distance, i];
    }
  }
  return found;
}

// Even–odd rule, as `inside_polygon` in Python.
export function insidePolygon(xy, polygon) {
  const n = xy.length / 2;
  const mask = new Uint8Array(n);
  const xs = polygon.map((p) => p[0]);
  const ys = polygon.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const corners = polygon.length;
  let total = 0;
  for (let i = 0; i < n; i++) {
    const x = xy[2 * i];
    const y = xy[2 * i + 1];
    if (!(x >= x0 && x <= x1 && y >= y0 && y <= y1)) continue;
    let odd = 0;
    for (let a = 0, b = corners - 1; a < corners; b = a++) {
      if (ys[a] > y !== ys[b] > y && x < xs[a] + ((y - ys[a]) * (xs[b] - xs[a])) / (ys[b] - ys[a])) odd ^= 1;
    }
    mask[i] = odd;
    total += odd;
  }
  return { mask, total };
}

export function withCodes(codes, picked) {
  const wanted = new Set(picked);
  const mask = new Uint8Array(codes.length);
  let total = 0;
  for (let i = 0; i < codes.length; i++) {
    if (!wanted.has(codes[i])) continue;
    mask[i] = 1;
    total++;
  }
  return { mask, total };
}
