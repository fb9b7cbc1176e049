// Cells painted as pixels: for browsers without WebGL, and for saved figures.

import { frame } from "./axes.js";

const IN_SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
let known = null;

// What draws WebGL here: "hardware", "software" (slower than painting where cells are many) or "none".
export function graphics() {
  known ??= findGraphics();
  return known;
}

function findGraphics() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
  if (!context || context.isContextLost()) return "none";
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return IN_SOFTWARE.test(name) ? "software" : "hardware";
}

const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function rgb(colour) {
  probe.canvas.width = probe.canvas.height = 1;
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

// How much of each pixel around its centre a disc covers: [dx, dy, share] in turn.
function disc(diameter) {
  const reach = Math.max(0, Math.ceil(diameter / 2 - 0.5));
  const stamp = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.max(0, Math.min(1, diameter / 2 + 0.5 - Math.hypot(dx, dy)));
      if (cover > 0.02) stamp.push(dx, dy, cover);
    }
  }
  return Float64Array.from(stamp);
}

// Lays a colour over a pixel; alpha counts as in paint, and the picture below may be transparent.
function lay(data, at, [r, g, b], alpha) {
  const below = data[at + 3] * (1 - alpha);
  const sum = below + 255 * alpha;
  const share = (255 * alpha) / sum;
  data[at] += (r - data[at]) * share;
  data[at + 1] += (g - data[at + 1]) * share;
  data[at + 2] += (b - data[at + 2]) * share;
  data[at + 3] = sum;
}

// Paints the lists of points `traces` (x, y, marker) into a picture of `width` × `height` pixels.
export function paint(traces, { width, height, x, y, ratio }) {
  const picture = new ImageData(width, height);
  const { data } = picture;
  const [sx, sy] = [width / (x[1] - x[0]), height / (y[1] - y[0])];
  const [x0, y1] = [x[0], y[1]];
  for (const trace of traces) {
    const colour = rgb(trace.marker.color);
    const stamp = disc(trace.marker.size * ratio);
    const opacity = trace.marker.opacity ?? 1;
    const [xs, ys] = [trace.x, trace.y];
    for (let i = 0; i < xs.length; i++) {
      const px = Math.floor((xs[i] - x0) * sx);
      const py = Math.floor((y1 - ys[i]) * sy);
      if (px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
      for (let s = 0; s < stamp.length; s += 3) {
        const qx = px + stamp[s];
        const qy = py + stamp[s + 1];
        if (qx < 0 || qy < 0 || qx >= width || qy >= height) continue;
        lay(data, 4 * (qy * width + qx), colour, opacity * stamp[s + 2]);
      }
    }
  }
  return picture;
}

export class Raster {
  constructor(map) {
    this.map = map;
    this.traces = null;
    this.due = 0;
  }

  use(traces) {
    this.traces = traces;
    this.map.parts.raster.hidden = !traces;
    this.draw();
  }

  follow() {
    if (!this.traces || this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  draw() {
    const f = frame(this.map);
    if (!this.traces || !f) return;
    const canvas = this.map.parts.raster;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [Math.max(1, Math.round(f.width * ratio)), Math.max(1, Math.round(f.height * ratio))];
    canvas.width = width;
    canvas.height = height;
    canvas.style.cssText = `left:${f.left}px;top:${f.top}px;width:${f.width}px;height:${f.height}px`;
    canvas.getContext("2d").putImageData(paint(this.traces, { width, height, x: f.x, y: f.y, ratio }), 0, 0);
  }
}
