// A map's life: messages from Python come in one at a time, are drawn, and answers go back.

import { frame, toPixels } from "./axes.js";
import { Camera } from "./camera.js";
import { choose, emphasis, pickGroups, restore } from "./choice.js";
import { count, readTheme } from "./dom.js";
import { Overtaken, array, loadPlotly, loadStyle } from "./fetching.js";
import { MARGIN, MOST_3D, cellTraces, flatLayout, homeRanges, names, overTraces, pointSize, solidLayout } from "./figure.js";
import { Hover } from "./hover.js";
import { showLegend } from "./legend.js";
import { Motion } from "./motion.js";
import { Particles } from "./particles.js";
import { extent, group, medians, tally } from "./points.js";
import { Raster, graphics } from "./raster.js";
import { save } from "./save.js";
import { Selector } from "./select.js";
import { build, showModes, showPlaying, showStatus } from "./view.js";

const NO_GL = "This browser draws without WebGL: everything works, with less smooth zooming.";
const SLOW_GL = "No graphics card found: the processor paints the cells.";
const MANY = 30000;
const CONFIG = { displayModeBar: false, doubleClick: false, scrollZoom: false, showTips: false, responsive: false };
const maps = new WeakMap();

export function receive(box, message) {
  if (!maps.has(box)) maps.set(box, new CellMap(box));
  maps.get(box).receive(message);
}

export function release(box) {
  maps.get(box)?.destroy();
  maps.delete(box);
}

class CellMap {
  constructor(box) {
    Object.assign(this, { box, mode: "pan", arrays: {}, notes: [], chosen: null, showLabels: true });
    Object.assign(this, { scale: 1, ownOpacity: null, view: null, draws: 0, lostGl: false });
  }

  // Only the newest message matters; one is drawn at a time.
  receive(message) {
    this.send = message; // the newest, which `again` draws once more
    this.root = message.root;
    this.pending = message.data;
    this.running ??= this.run().finally(() => (this.running = null));
  }

  async run() {
    while (this.pending && !this.gone) {
      const spec = this.pending;
      this.pending = null;
      try {
        await this.take(spec);
      } catch (error) {
        if (!(error instanceof Overtaken)) this.fail(error);
      }
    }
  }

  fail(error) {
    if (!this.parts) return void (this.box.textContent = error.message);
    this.parts.wait.hidden = false;
    this.parts.wait.firstChild.textContent = error.message;
    this.box.dataset.error = error.message;
    console.error(error);
  }

  array(ref) {
    const ask = () => this.send.setTriggerValue("missing", Date.now());
    return array(this.root, ref, { ask, stale: () => this.gone || Boolean(this.pending) });
  }

  async take(spec) {
    const started = performance.now();
    const coming = [this.arraysOf(spec), loadPlotly(this.root, spec.plotly)];
    const all = Promise.all(coming);
    all.catch(() => {}); // reported where it is awaited below
    await loadStyle(this.root, spec.code);
    if (this.gone) return;
    if (!this.parts) this.furnish(spec);
    const [arrays] = await all;
    if (this.gone) return;
    if (!this.isNews(spec)) return;
    this.adopt(spec, arrays);
    await this.draw();
    this.box.dataset.takeMs = String(Math.round(performance.now() - started));
  }

  // Python repeats what the map has told it; that alone is no reason to draw.
  isNews(spec) {
    const { dark, text, font } = readTheme(this.box);
    const news = JSON.stringify([{ ...spec, selected: null }, dark, text, font]);
    const same = news === this.last && !this.due;
    this.last = news;
    this.due = false;
    return !same;
  }

  furnish(spec) {
    this.box.style.setProperty("--ds-height", `${spec.height}px`);
    this.parts = build(this.box, this);
    this.gd = this.parts.gd;
    this.theme = readTheme(this.box);
    this.motion = new Motion(this);
    this.particles = new Particles(this);
    this.selector = new Selector(this);
    this.hover = new Hover(this);
    this.points = new Raster(this);
    this.camera = new Camera(this);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.parts.plot);
    this.observer.observe(this.box);
    this.narrow();
  }

  async arraysOf(spec) {
    const get = (ref) => this.array(ref);
    const all = async (part, ...keys) => {
      if (!part) return null;
      const values = await Promise.all(keys.map((key) => get(part[key])));
      return { ...part, spec: part, ...Object.fromEntries(keys.map((key, k) => [key, values[k]])) };
    };
    const { layers } = spec;
    const [xy, codes, highlight, streamlines, arrows, particles, paths, picked] = await Promise.all([
      get(spec.xy),
      get(spec.colour.codes),
      get(spec.highlight),
      all(layers.streamlines, "xy", "starts", "speed", "agreement"),
      all(layers.arrows, "xy", "uv", "agreement"),
      all(layers.particles, "u", "v", "mask"),
      all(layers.paths, "xy", "inside", "apart", "codes"),
      this.draws || spec.selected?.kind !== "categories" ? null : get({ id: spec.selected.array, type: spec.selected.type }),
    ]);
    return { xy, codes, highlight, streamlines, arrows, particles, paths, picked };
  }

  adopt(spec, arrays) {
    const moved = this.spec?.xy.id !== spec.xy.id;
    const recoloured = this.spec?.colour.codes.id !== spec.colour.codes.id || this.colour.label !== spec.colour.label;
    if (this.spec && this.spec.dims !== spec.dims) window.Plotly.purge(this.gd);
    if (this.spec?.layers.labels !== spec.layers.labels) this.showLabels = spec.layers.labels;
    Object.assign(this, { spec, arrays, colour: spec.colour, dims: spec.dims, theme: readTheme(this.box) });
    if (moved) {
      this.extent = extent(arrays.xy, spec.dims);
      this.view = this.camera.wanted = this.camera.eye = null;
      if (this.chosen && this.chosen.space !== spec.xy.id) this.chosen = null;
    }
    // Only a map built anew takes over what Python holds; later it is the map that knows.
    if (!this.draws && spec.selected?.space === spec.xy.id) this.chosen = restore(spec.selected, arrays);
    if (moved || recoloured) {
      this.emphasisCodes = this.chosen?.array === spec.colour.codes.id ? new Set(this.chosen.codes) : null;
      this.counts = tally(arrays.codes, spec.colour.colours.length);
      this.hover.forget();
    }
    if (spec.dims === 2 && spec.colour.kind === "categories" && (moved || recoloured)) {
      this.medians = medians(arrays.xy, arrays.codes, this.counts);
    }
    if (!spec.selection || spec.dims === 3) this.mode = "pan";
    this.parts.plot.setAttribute("aria-label", spec.alt);
    this.box.style.setProperty("--ds-height", `${spec.height}px`);
    this.look3d();
  }

  look3d() {
    this.box.classList.toggle("ds-dark", this.theme.dark);
    this.parts.labelButton.hidden = this.colour.kind !== "categories" || this.dims === 3;
    this.parts.labelButton.setAttribute("aria-pressed", String(this.showLabels));
  }

  // Whether cells are painted as pixels rather than by WebGL.
  get raster() {
    if (this.lostGl || graphics() === "none") return true;
    if (this.dims === 3 || this.spec.renderer === "webgl") return false;
    return this.spec.renderer === "raster" || (graphics() === "software" && this.spec.n > MANY);
  }

  async draw() {
    const started = performance.now();
    const { xy, codes } = this.arrays;
    const most = this.dims === 3 ? MOST_3D : 0;
    Object.assign(this, group({ xy, dims: this.dims, codes, colour: this.colour, emphasis: emphasis(this), most }));
    this.notes = this.notesNow(most);
    showModes(this.parts, this);
    showLegend(this);
    showStatus(this);
    this.motion.use(this.arrays.paths);
    await this.plotNow();
    this.particles.use(this.arrays.particles);
    this.follow();
    this.parts.wait.hidden = true;
    Object.assign(this.box.dataset, {
      ready: "1",
      points: this.drawn,
      drawMs: Math.round(performance.now() - started),
      draws: ++this.draws,
      colour: this.colour.label,
      selected: this.chosen ? this.chosen.total : 0,
      renderer: this.raster && this.dims === 2 ? "raster" : "webgl",
    });
  }

  notesNow(most) {
    const notes = [];
    const none = this.lostGl || graphics() === "none";
    if (none) notes.push(this.dims === 2 ? NO_GL : "3-D needs WebGL, which this browser does not offer.");
    else if (this.raster && this.spec.renderer === "auto") notes.push(SLOW_GL);
    if (most && this.spec.n > most) notes.push(`Drawn in 3-D: ${count(this.drawn)} of ${count(this.spec.n)} cells, at random.`);
    return notes;
  }

  plotSize() {
    const { clientWidth, clientHeight } = this.parts.plot;
    return [Math.max(50, clientWidth), Math.max(50, clientHeight)];
  }

  get opacity() {
    return this.ownOpacity ?? (this.spec.faint ? 0.3 : 0.9);
  }

  async plotNow() {
    const [width, height] = this.plotSize();
    this.size = pointSize(this.drawn, Math.min(width, height), this.spec) * this.scale;
    this.parts.opacityInput.value = this.opacity;
    const flat = this.dims === 2;
    const cells = cellTraces(this, this.theme);
    const drawnBelow = this.raster && flat;
    const base = drawnBelow ? [{ type: "scatter", x: [null], y: [null], hoverinfo: "skip", showlegend: false }] : cells;
    const data = [...(this.raster && !flat ? [] : base), ...overTraces(this, this.theme), ...this.motion.traces()];
    const layout = flat ? this.flat(width, height) : solidLayout(this, this.theme, this.camera.eye);
    Object.assign(layout, { width, height, datarevision: this.draws });
    const first = !this.gd.classList.contains("js-plotly-plot") || !this.gd._fullLayout;
    const config = { ...CONFIG, plotGlPixelRatio: Math.min(2, window.devicePixelRatio || 1) };
    await window.Plotly[first ? "newPlot" : "react"](this.gd, data, layout, config);
    if (first) this.listen();
    this.points.use(drawnBelow ? cells : null);
  }

  flat(width, height) {
    const inner = [width - MARGIN, height - MARGIN];
    this.homeView = homeRanges(this.extent, inner);
    const [x, y] = this.view ?? this.homeView;
    const place = { left: MARGIN, top: 0, width: width - MARGIN, height: height - MARGIN };
    const annotations = this.namesIn({ ...place, x, y });
    return flatLayout(this, this.theme, { ranges: [x, y], annotations });
  }

  toPixels = (x, y) => {
    const f = frame(this);
    return f ? toPixels(f, x, y) : [0, 0];
  };

  // Names keep their distance in pixels, so they depend on the view. Plotly draws all cells again for a change of
  // names, which is why they are changed together with the view or the figure.
  namesIn(f) {
    return names(this, this.theme, (x, y) => toPixels(f, x, y));
  }

  listen() {
    this.gd.on("plotly_relayout", () => {
      this.camera.remember();
      this.follow();
    });
    this.gd.on("plotly_webglcontextlost", () => this.lost());
    if (this.dims === 3) this.listenSolid();
  }

  listenSolid() {
    this.gd.on("plotly_hover", ({ points }) => {
      const cells = this.groups[points[0].curveNumber]?.cells;
      if (cells) this.hover.showAtPointer(cells[points[0].pointNumber]);
    });
    this.gd.on("plotly_unhover", () => this.hover.hide());
  }

  lost() {
    if (this.gone || this.lostGl) return;
    this.lostGl = true;
    window.Plotly.purge(this.gd);
    this.again();
  }

  // What lies over the plot moves with it.
  follow() {
    const f = frame(this);
    if (f) this.box.dataset.range = [...f.x, ...f.y].map((v) => v.toPrecision(6)).join(",");
    this.selector.follow();
    this.points.follow();
    if (this.motion.paths) this.motion.paint();
    this.particles.clear();
  }

  again() {
    this.due = true;
    this.receive(this.send);
  }

  setMode(mode) {
    this.mode = mode;
    showModes(this.parts, this);
    this.hover.hide();
  }

  escape() {
    if (this.selector.cancel()) return;
    if (this.mode !== "pan") this.setMode("pan");
    else if (this.chosen) this.choose(null);
    else if (this.emphasisCodes) this.pickGroups(null);
  }

  choose(what) {
    choose(this, what);
  }

  pickGroups(code, add = false) {
    pickGroups(this, code, add);
  }

  restyle({ scale, opacity }) {
    if (scale) this.scale = scale;
    if (opacity) this.ownOpacity = opacity;
    clearTimeout(this.restyling);
    this.restyling = setTimeout(() => this.again(), 60);
  }

  toggleLabels() {
    this.showLabels = !this.showLabels;
    this.look3d();
    const f = frame(this);
    if (f) window.Plotly.relayout(this.gd, { annotations: this.namesIn(f) });
  }

  async save(kind) {
    const { status } = this.parts;
    status.textContent = "Making the figure…";
    await new Promise((resolve) => setTimeout(resolve, 30));
    await save(this, kind).catch((error) => this.fail(error));
    showStatus(this);
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.box.requestFullscreen?.();
  }

  narrow() {
    this.box.classList.toggle("ds-narrow", this.box.clientWidth < 640);
  }

  resize() {
    this.narrow();
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = this.plotSize();
    for (const canvas of [this.parts.flow, this.parts.cloud]) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    const layout = this.gd._fullLayout;
    if (!layout || (layout.width === width && layout.height === height)) return;
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => !this.gone && this.again(), 60);
  }

  destroy() {
    this.gone = true;
    if (!this.parts) return;
    this.observer.disconnect();
    this.motion.destroy();
    this.particles.destroy();
    const canvases = [...this.gd.querySelectorAll("canvas")];
    window.Plotly.purge(this.gd);
    for (const canvas of canvases) {
      const context = canvas.getContext("webgl") ?? canvas.getContext("webgl2");
      context?.getExtension("WEBGL_lose_context")?.loseContext();
    }
  }
}
