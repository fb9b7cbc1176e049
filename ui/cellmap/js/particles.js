// Particles that drift through the flow, like a wind map, on a canvas over the plot.

import { frame, toPixels } from "./axes.js";
import { showPlaying } from "./view.js";

const COUNT = 2500;
const FADE = 0.94; // per sixtieth of a second
const LIFE = [0.8, 3.2]; // seconds
const PACE = 0.085; // a fast particle crosses this share of the whole map per second

export class Particles {
  constructor(map) {
    this.map = map;
    this.playing = false;
    this.field = null;
    this.hidden = () => document.hidden && this.pause();
    this.shown = () => !document.hidden && this.playing && this.run();
    document.addEventListener("visibilitychange", this.hidden);
    document.addEventListener("visibilitychange", this.shown);
  }

  destroy() {
    this.stop();
    document.removeEventListener("visibilitychange", this.hidden);
    document.removeEventListener("visibilitychange", this.shown);
  }

  use(field) {
    const changed = field?.u !== this.field?.u || field?.v !== this.field?.v;
    this.field = field;
    if (changed) this.seeds = field ? seedsOf(field) : null;
    if (!field || !this.seeds.boxes.length) {
      this.field = null;
      this.stop();
    } else if (changed) this.particles = null;
    this.show();
  }

  show() {
    showPlaying(this.map.parts, { available: Boolean(this.field), playing: this.playing });
    this.map.parts.box.dataset.flow = this.playing ? "playing" : "stopped";
    this.map.parts.plot.classList.toggle("ds-flowing", this.playing && !this.map.arrays.paths);
  }

  toggle() {
    if (this.playing) this.stop();
    else if (this.field) {
      this.playing = true;
      this.run();
    }
    this.show();
  }

  stop() {
    this.playing = false;
    this.pause();
    this.clear();
    this.show();
  }

  pause() {
    cancelAnimationFrame(this.request);
    this.request = 0;
  }

  run() {
    this.pause();
    this.last = performance.now();
    const step = (now) => {
      this.request = requestAnimationFrame(step);
      this.advance(Math.min(0.05, (now - this.last) / 1000));
      this.last = now;
    };
    this.request = requestAnimationFrame(step);
  }

  clear() {
    const { flow } = this.map.parts;
    flow.getContext("2d").clearRect(0, 0, flow.width, flow.height);
  }

  advance(seconds) {
    const f = frame(this.map);
    if (!f) return;
    const { flow } = this.map.parts;
    const context = flow.getContext("2d");
    const ratio = flow.width / Math.max(1, flow.clientWidth);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "destination-in";
    context.fillStyle = `rgba(0,0,0,${FADE ** (60 * seconds)})`;
    context.fillRect(0, 0, flow.width, flow.height);
    context.globalCompositeOperation = "source-over";
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.strokeStyle = this.map.theme.stream;
    context.lineWidth = 1.3;
    context.lineCap = "round";
    this.particles ??= Array.from({ length: COUNT }, () => this.born(f, {}));
    this.move(context, f, seconds);
  }

  move(context, f, seconds) {
    const { dx, dy, nx, ny } = this.field;
    const reach = Math.max(dx * nx, dy * ny);
    const zoom = Math.min(1, (f.x[1] - f.x[0]) / reach) ** 0.7; // calmer when zoomed in
    const factor = (PACE * reach * zoom * seconds) / this.seeds.fast;
    context.beginPath();
    for (const p of this.particles) {
      p.left -= seconds;
      const v = p.left > 0 ? this.at(p.x, p.y) : null;
      if (!v) {
        this.born(f, p);
        continue;
      }
      const [px, py] = toPixels(f, p.x, p.y);
      p.x += v[0] * factor;
      p.y += v[1] * factor;
      const [qx, qy] = toPixels(f, p.x, p.y);
      context.moveTo(px, py);
      context.lineTo(qx, qy);
    }
    context.globalAlpha = 0.85;
    context.stroke();
    context.globalAlpha = 1;
  }

  // Velocity at a place, linear within the grid box; null where there are no cells.
  at(x, y) {
    const { x0, y0, dx, dy, nx, ny, u, v, mask } = this.field;
    const gx = (x - x0) / dx;
    const gy = (y - y0) / dy;
    const [i, j] = [Math.floor(gx), Math.floor(gy)];
    if (i < 0 || j < 0 || i >= nx - 1 || j >= ny - 1) return null;
    const k = j * nx + i;
    if (!mask[Math.round(gy) * nx + Math.round(gx)]) return null;
    const [a, b] = [gx - i, gy - j];
    const mix = (w) => (w[k] * (1 - a) + w[k + 1] * a) * (1 - b) + (w[k + nx] * (1 - a) + w[k + nx + 1] * a) * b;
    return [mix(u), mix(v)];
  }

  born(f, p) {
    const { x0, y0, dx, dy, nx } = this.field;
    const { boxes } = this.seeds;
    for (let attempt = 0; attempt < 12; attempt++) {
      const box = boxes[Math.floor(Math.random() * boxes.length)];
      p.x = x0 + ((box % nx) + Math.random() - 0.5) * dx;
      p.y = y0 + (Math.floor(box / nx) + Math.random() - 0.5) * dy;
      if (p.x >= f.x[0] && p.x <= f.x[1] && p.y >= f.y[0] && p.y <= f.y[1]) break;
    }
    p.left = LIFE[0] + Math.random() * (LIFE[1] - LIFE[0]);
    return p;
  }
}

function seedsOf({ u, v, mask }) {
  const boxes = [];
  const speeds = [];
  for (let k = 0; k < mask.length; k++) {
    const speed = Math.hypot(u[k], v[k]);
    if (!mask[k] || !speed) continue;
    boxes.push(k);
    speeds.push(speed);
  }
  speeds.sort((a, b) => a - b);
  return { boxes, fast: speeds[Math.floor(0.9 * speeds.length)] || 1 };
}
