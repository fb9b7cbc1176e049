// Moving and zooming: by dragging, pinching, wheel, keys and buttons. Where drawing all cells again takes long, what
// is drawn already is moved and scaled at once, and drawn again when the hand rests.

import { between, frame, moved, toData, zoomed } from "./axes.js";
import { EYE } from "./figure.js";

const QUICK = 45; // milliseconds that drawing may take to be done at every step
const REST = 160;
const MOVES = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const LAYERS = ".gl-container, .cartesianlayer, .annotation, .ds-raster, .ds-flow, .ds-cloud, .ds-outline";

export class Camera {
  constructor(map) {
    this.map = map;
    this.wanted = null;
    this.cost = 200;
    this.hands = new Map();
    const { plot } = map.parts;
    plot.addEventListener("pointerdown", (event) => this.grab(event));
    plot.addEventListener("pointermove", (event) => this.pull(event));
    for (const end of ["pointerup", "pointercancel"]) plot.addEventListener(end, (event) => this.drop(event));
    plot.addEventListener("dblclick", () => map.mode === "pan" && this.home());
    plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false, capture: true });
    plot.addEventListener("keydown", (event) => this.key(event));
  }

  get now() {
    return this.wanted ?? frame(this.map);
  }

  look(wanted) {
    this.wanted = wanted;
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      if (!this.wanted || this.map.gone) return;
      if (this.cost < QUICK) this.commit();
      else this.preview();
    });
  }

  preview() {
    const from = frame(this.map);
    if (!from) return;
    const { x, y, scale } = between(from, this.wanted);
    for (const layer of this.map.parts.plot.querySelectorAll(LAYERS)) {
      layer.style.transformOrigin = `${-layer.offsetLeft || 0}px ${-layer.offsetTop || 0}px`;
      layer.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.hands.size || this.commit(), REST);
  }

  async commit() {
    clearTimeout(this.resting);
    const { wanted, map } = this;
    if (!wanted || map.gone) return;
    this.wanted = null;
    const started = performance.now();
    map.view = [wanted.x, wanted.y];
    const change = { "xaxis.range": wanted.x.slice(), "yaxis.range": wanted.y.slice() };
    const annotations = map.namesIn(wanted);
    const differ = JSON.stringify(annotations) !== JSON.stringify(map.gd.layout.annotations ?? []);
    const done = window.Plotly.relayout(map.gd, differ ? { ...change, annotations } : change);
    this.settle();
    await done;
    requestAnimationFrame(() => {
      this.cost = 0.5 * this.cost + 0.5 * (performance.now() - started);
    });
  }

  settle() {
    for (const layer of this.map.parts.plot.querySelectorAll(LAYERS)) layer.style.transform = "";
  }

  // Where one looks from in 3-D; Plotly would forget it when the figure is drawn again.
  remember() {
    this.eye = this.map.gd._fullLayout?.scene?._scene?.getCamera?.() ?? null;
  }

  zoom(factor) {
    const f = this.now;
    if (f) return this.look(zoomed(f, factor, [(f.x[0] + f.x[1]) / 2, (f.y[0] + f.y[1]) / 2]));
    const { gd } = this.map;
    const eye = gd._fullLayout?.scene?._scene?.getCamera?.().eye;
    if (!eye) return;
    window.Plotly.relayout(gd, { "scene.camera.eye": { x: eye.x * factor, y: eye.y * factor, z: eye.z * factor } });
  }

  home() {
    const { map } = this;
    if (map.dims === 3) return window.Plotly.relayout(map.gd, { "scene.camera": { eye: EYE } });
    this.look({ ...frame(map), x: map.homeView[0], y: map.homeView[1] });
  }

  at(event) {
    const box = this.map.parts.plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  grab(event) {
    if (event.button || this.map.dims === 3 || this.map.mode !== "pan" || !this.now) return;
    this.map.parts.plot.focus({ preventScroll: true });
    this.hands.set(event.pointerId, this.at(event));
    this.start = { frame: this.now, hands: new Map(this.hands) };
    this.moving = false;
  }

  pull(event) {
    const from = this.start?.hands.get(event.pointerId);
    if (!from || !this.hands.has(event.pointerId)) return;
    this.hands.set(event.pointerId, this.at(event));
    const here = this.hands.get(event.pointerId);
    if (!this.moving && Math.hypot(here[0] - from[0], here[1] - from[1]) < 3) return;
    if (!this.moving) this.map.parts.plot.setPointerCapture(event.pointerId);
    this.moving = true;
    event.preventDefault();
    this.look(this.pulled());
  }

  // One hand moves; two also zoom, around the place between them.
  pulled() {
    const { frame: f, hands } = this.start;
    const middle = (points) => [0, 1].map((d) => points.reduce((sum, p) => sum + p[d], 0) / points.length);
    const spread = (points) => (points.length > 1 ? Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]) : 1);
    const [before, now] = [[...hands.values()], [...this.hands.values()]];
    const [a, b] = [middle(before), middle(now)];
    const held = zoomed(f, spread(before) / Math.max(1, spread(now)), toData(f, a[0], a[1]));
    return moved(held, (a[0] - b[0]) / f.width, (b[1] - a[1]) / f.height);
  }

  drop(event) {
    if (!this.hands.delete(event.pointerId)) return;
    if (this.hands.size) this.start = { frame: this.now, hands: new Map(this.hands) };
    else {
      this.start = null;
      if (this.wanted) this.commit();
    }
  }

  // The wheel zooms once the map has been clicked, or with Ctrl; otherwise the page scrolls on, and a hint says so.
  wheel(event) {
    const f = this.now;
    if (!f) return;
    const { plot } = this.map.parts;
    const meant = event.ctrlKey || event.metaKey || plot.contains(document.activeElement) || document.fullscreenElement;
    if (!meant) return this.hint();
    event.preventDefault();
    event.stopPropagation();
    const steps = Math.max(-1, Math.min(1, (event.deltaY * (event.deltaMode ? 20 : 1)) / 240));
    this.look(zoomed(f, 2 ** steps, toData(f, ...this.at(event))));
  }

  hint() {
    const { hint } = this.map.parts;
    hint.textContent = "Click the map, or hold Ctrl, to zoom with the wheel";
    hint.hidden = false;
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => (hint.hidden = true), 1200);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const f = this.now;
    if (event.key === "Escape") this.map.escape();
    else if (event.key === "0" || event.key === "Home") this.home();
    else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.5);
    else if (event.key === "-") this.zoom(1.5);
    else if (f && MOVES[event.key]) this.look(moved(f, ...MOVES[event.key]));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
