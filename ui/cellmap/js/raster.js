// Cells painted as pixels: for browsers without WebGL, and for saved figures.

import { frame } from "./axes.js";

let works = null;

export function webglWorks() {
  works ??= tryWebgl();
  return works;
}

function tryWebgl() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
  const fine = Boolean(context) && !context.isContextLost();
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return fine;
}

const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function rgb(colour) {
  probe.canvas.width = probe.canvas.height = 1;
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

// How much of each pixel around its centre a disc covers.
function disc(diameter) {
  const reach = Math.max(0, Math.ceil(diameter / 2 - 0.5));
  const stamp = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.max(0, Math.min(1, diameter / 2 + 0.5 - Math.hypot(dx, dy)));
      if (cover > 0.02) stamp.push([dx, dy, cover]);
    }
  }
  return stamp;
}

function blend(pixels, at, colour, alpha) {
  const under = pixels[at + 3] / 255;
  const out = alpha + under * (1 - alpha);
  for (let c = 0; c < 3; c++) {
    pixels[at + c] = (colour[c] * alpha + pixels[at + c] * under * (1 - alpha)) / out;
  }
  pixels[at + 3] = 255 * out;
}

// Paints the lists of points `traces` (x, y, marker) into a picture of `width` × `height` pixels.
export function paint(traces, { width, height, x, y, ratio }) {
  const picture = new ImageData(width, height);
  const { data } = picture;
  const [sx, sy] = [width / (x[1] - x[0]), height / (y[1] - y[0])];
  for (const trace of traces) {
    const colour = rgb(trace.marker.color);
    const stamp = disc(trace.marker.size * ratio);
    const opacity = trace.marker.opacity ?? 1;
    for (let i = 0; i < trace.x.length; i++) {
      const px = Math.floor((trace.x[i] - x[0]) * sx);
      const py = Math.floor((y[1] - trace.y[i]) * sy);
      if (px < -8 || py < -8 || px > width + 8 || py > height + 8) continue;
      for (let s = 0; s < stamp.length; s++) {
        const qx = px + stamp[s][0];
        const qy = py + stamp[s][1];
        if (qx < 0 || qy < 0 || qx >= width || qy >= height) continue;
        const alpha = opacity * stamp[s][2];
        const at = 4 * (qy * width + qx);
        if (alpha < 0.99) blend(data, at, colour, alpha);
        else {
          data[at] = colour[0];
          data[at + 1] = colour[1];
          data[at + 2] = colour[2];
          data[at + 3] = 255;
        }
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
