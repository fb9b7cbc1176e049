// Lasso and box: drawn on an overlay of our own, so that a million cells do not slow the pointer.

import { frame, toData, toPixels } from "./axes.js";
import { svg } from "./dom.js";

const MIN_STEP = 3;
const MAX_CORNERS = 600;

export class Selector {
  constructor(map) {
    this.map = map;
    const { overlay } = map.parts;
    this.picture = svg("svg", { class: "ds-outline", "aria-hidden": "true" });
    this.shape = svg("polygon", { points: "" });
    this.picture.append(this.shape);
    overlay.append(this.picture);
    overlay.addEventListener("pointerdown", (event) => this.start(event));
    overlay.addEventListener("pointermove", (event) => this.drag(event));
    overlay.addEventListener("pointerup", (event) => this.finish(event));
    overlay.addEventListener("pointercancel", () => this.cancel());
  }

  at(event) {
    const box = this.map.parts.plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  start(event) {
    if (event.button || this.map.mode === "pan") return;
    event.preventDefault();
    this.map.parts.overlay.setPointerCapture(event.pointerId);
    this.map.parts.plot.focus({ preventScroll: true });
    this.corners = [this.at(event)];
  }

  drag(event) {
    if (!this.corners) return;
    const point = this.at(event);
    const last = this.corners.at(-1);
    if (this.map.mode === "box") this.corners = [this.corners[0], point];
    else if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= MIN_STEP) this.corners.push(point);
    this.paint(this.outline());
  }

  outline() {
    if (this.map.mode !== "box" || this.corners.length < 2) return this.corners;
    const [[x0, y0], [x1, y1]] = this.corners;
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  finish(event) {
    if (!this.corners) return;
    this.drag(event);
    const outline = thin(this.outline());
    this.corners = null;
    const f = frame(this.map);
    if (!f || outline.length < 3 || area(outline) < 25) return this.follow();
    const polygon = outline.map(([px, py]) => toData(f, px, py));
    this.map.choose({ kind: this.map.mode, polygon });
  }

  cancel() {
    const drawing = Boolean(this.corners);
    this.corners = null;
    this.follow();
    return drawing;
  }

  // The outline of what is chosen stays where the cells are when the view changes.
  follow() {
    if (this.corners) return;
    const f = frame(this.map);
    const polygon = this.map.chosen?.polygon;
    this.paint(f && polygon ? polygon.map(([x, y]) => toPixels(f, x, y)) : []);
  }

  paint(points) {
    this.shape.setAttribute("points", points.map((p) => `${p[0].toFixed(1)},${p[1].toFixed(1)}`).join(" "));
  }
}

function thin(points) {
  const step = Math.ceil(points.length / MAX_CORNERS);
  return points.filter((_, k) => k % step === 0);
}

function area(points) {
  let twice = 0;
  for (let a = 0, b = points.length - 1; a < points.length; b = a++) {
    twice += points[b][0] * points[a][1] - points[a][0] * points[b][1];
  }
  return Math.abs(twice / 2);
}
