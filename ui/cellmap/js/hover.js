// What is known of the cell under the pointer.

import { el, short } from "./dom.js";
import { frame, toData, unitsPerPixel } from "./axes.js";
import { index, nearest } from "./points.js";

const REACH = 9;

export class Hover {
  constructor(map) {
    this.map = map;
    this.due = false;
    const { plot } = map.parts;
    plot.addEventListener("pointermove", (event) => this.move(event));
    plot.addEventListener("pointerleave", () => this.hide());
    plot.addEventListener("pointerdown", () => this.hide());
  }

  forget() {
    this.grid = null;
    this.columns = null;
    this.hide();
  }

  hide() {
    this.map.parts.tip.hidden = true;
  }

  move(event) {
    const { map } = this;
    this.at = event;
    if (this.due || map.dims === 3 || event.buttons || event.pointerType === "touch") return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.look();
    });
  }

  look() {
    const { map } = this;
    const f = frame(map);
    if (!f || !map.arrays.xy || map.mode !== "pan") return this.hide();
    const box = map.parts.plot.getBoundingClientRect();
    const [px, py] = [this.at.clientX - box.left, this.at.clientY - box.top];
    this.grid ??= index(map.arrays.xy, map.extent);
    const cell = nearest(this.grid, map.arrays.xy, toData(f, px, py), REACH * unitsPerPixel(f));
    if (cell < 0) this.hide();
    else this.show(cell, px, py);
  }

  showAtPointer(cell) {
    const box = this.map.parts.plot.getBoundingClientRect();
    if (this.at) this.show(cell, this.at.clientX - box.left, this.at.clientY - box.top);
  }

  show(cell, px, py) {
    const { tip, plot } = this.map.parts;
    this.shown = [cell, px, py];
    tip.replaceChildren(...this.lines(cell));
    tip.hidden = false;
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const x = px + 14 + width > plot.clientWidth ? px - 14 - width : px + 14;
    const y = Math.max(4, Math.min(plot.clientHeight - height - 4, py - height / 2));
    tip.style.transform = `translate(${Math.max(4, x)}px, ${y}px)`;
  }

  lines(cell) {
    const { map } = this;
    this.columns ??= this.fetch();
    const known = [{ colour: map.colour, codes: map.arrays.codes, values: this.values }, ...(this.others ?? [])];
    return known.map(({ colour, codes, values }) => line(colour, codes, values, cell));
  }

  // Further columns, and exact values of the colouring, arrive after the first look.
  async fetch() {
    const { map } = this;
    const { colour } = map;
    const exact = (c) => (c.kind === "levels" ? map.array(c.values) : null);
    this.values = null;
    this.others = [];
    const started = (this.started = {});
    const get = async (c) => ({ colour: c, codes: c.kind === "levels" ? null : await map.array(c.codes), values: await exact(c) });
    const [values, others] = await Promise.all([exact(colour), Promise.all(map.spec.hover.map(get))]).catch(() => [null, []]);
    if (this.started !== started || map.colour !== colour) return;
    this.values = values;
    this.others = others;
    if (!map.parts.tip.hidden) this.show(...this.shown);
  }
}

function line(colour, codes, values, cell) {
  const row = el("div", { class: "ds-tip-row" });
  if (colour.kind === "categories") {
    const code = codes[cell];
    const dot = el("i", { class: "ds-dot" });
    dot.style.background = colour.colours[code] ?? "#9aa0a6";
    row.append(dot, el("b", {}, colour.names[code] ?? "no value"));
    if (colour.label) row.append(el("span", {}, colour.label));
    return row;
  }
  const value = values ? values[cell] : NaN;
  const text = values ? (Number.isFinite(value) ? short(value) : "no value") : "…";
  row.append(el("b", {}, colour.unit ? `${text} ${colour.unit}` : text), el("span", {}, colour.label));
  return row;
}
