// The time bar, and the cells that move along their predicted paths.

import { frame, toPixels } from "./axes.js";
import { button, count, el, setIcon, short } from "./dom.js";
import { pathColour } from "./overlays.js";

const SECONDS = 7; // from the first time to the last
const STEPS = 1000;
const MOST_SOLID = 1500;

export class Motion {
  constructor(map) {
    this.map = map;
    this.playing = false;
    this.share = 0;
    this.hidden = () => document.hidden && this.stop();
    document.addEventListener("visibilitychange", this.hidden);
    this.playButton = button("Play", "play", () => this.toggle(), { class: "ds-play", text: true });
    this.slider = el("input", {
      type: "range",
      min: 0,
      max: STEPS,
      value: 0,
      step: 1,
      "aria-label": "Time",
      oninput: (event) => {
        this.stop();
        this.set(event.target.value / STEPS);
      },
    });
    this.clock = el("output", { class: "ds-clock" });
    this.ends = el("div", { class: "ds-ends-row" }, el("span"), el("span"));
    const track = el("div", { class: "ds-track" }, this.slider, this.ends);
    map.parts.time.append(this.playButton, track, this.clock);
  }

  destroy() {
    this.stop();
    document.removeEventListener("visibilitychange", this.hidden);
  }

  use(paths) {
    if (paths?.xy !== this.paths?.xy) this.share = 0;
    this.paths = paths;
    this.map.parts.time.hidden = !paths;
    if (!paths) return this.stop();
    const { times, n, total } = paths.spec;
    this.ends.firstChild.textContent = this.name(times[0]);
    this.ends.lastChild.textContent = this.name(times.at(-1));
    this.what = n < total ? `${count(n)} of ${count(total)} ${paths.spec.label}` : `${count(n)} ${paths.spec.label}`;
    this.set(this.share);
  }

  name(time) {
    const { unit } = this.paths.spec;
    const text = short(time);
    return ["day", "week", "hour", "month", "stage"].includes(unit) ? `${unit} ${text}` : `${text} ${unit}`.trim();
  }

  toggle() {
    if (this.playing) return this.stop();
    if (this.share >= 1) this.share = 0;
    this.playing = true;
    setIcon(this.playButton, "pause", "Pause");
    let last = performance.now();
    const step = (now) => {
      if (!this.playing) return;
      this.set(Math.min(1, this.share + (now - last) / 1000 / SECONDS));
      last = now;
      if (this.share >= 1) this.stop();
      else this.request = requestAnimationFrame(step);
    };
    this.request = requestAnimationFrame(step);
  }

  stop() {
    this.playing = false;
    cancelAnimationFrame(this.request);
    setIcon(this.playButton, "play", "Play");
  }

  set(share) {
    this.share = share;
    const { times } = this.paths.spec;
    const time = times[0] + share * (times.at(-1) - times[0]);
    const name = this.name(Number(time.toPrecision(3)));
    this.slider.value = Math.round(share * STEPS);
    this.slider.setAttribute("aria-valuetext", name);
    this.clock.textContent = name;
    this.clock.title = this.what;
    this.map.parts.box.dataset.time = time.toFixed(4);
    this.paint();
  }

  // Between which stored times a moment lies, and how far along.
  moment() {
    const { times } = this.paths.spec;
    const time = times[0] + this.share * (times.at(-1) - times[0]);
    const along = times.at(-1) >= times[0] ? 1 : -1;
    let k = 0;
    while (k < times.length - 2 && along * times[k + 1] <= along * time) k++;
    const gap = times[k + 1] - times[k];
    return [k, gap ? Math.max(0, Math.min(1, (time - times[k]) / gap)) : 0];
  }

  places() {
    const { xy, inside, spec } = this.paths;
    const { dims } = this.map;
    const [k, part] = spec.times.length > 1 ? this.moment() : [0, 0];
    const next = Math.min(k + 1, spec.times.length - 1);
    const width = spec.n * dims;
    const now = new Float32Array(width);
    for (let j = 0; j < width; j++) now[j] = xy[k * width + j] * (1 - part) + xy[next * width + j] * part;
    const kept = inside.subarray((part > 0.5 ? next : k) * spec.n, ((part > 0.5 ? next : k) + 1) * spec.n);
    return { now, kept };
  }

  paint() {
    const { cloud } = this.map.parts;
    const context = cloud.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, cloud.width, cloud.height);
    if (!this.paths) return;
    const { now, kept } = this.places();
    if (this.map.dims === 3) return this.paintSolid(now);
    const f = frame(this.map);
    if (!f) return;
    const ratio = cloud.width / Math.max(1, cloud.clientWidth);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.rect(f.left, f.top, f.width, f.height);
    context.save();
    context.clip();
    this.dots(context, f, now, kept);
    context.restore();
    let [sx, sy, m] = [0, 0, 0];
    for (let i = 0; i < kept.length; i++) {
      if (!Number.isFinite(now[2 * i])) continue;
      sx += now[2 * i];
      sy += now[2 * i + 1];
      m++;
    }
    this.map.parts.box.dataset.cloud = m ? `${(sx / m).toFixed(4)},${(sy / m).toFixed(4)}` : "";
  }

  dots(context, f, now, kept) {
    const { spec } = this.paths;
    const room = Math.max(0.55, Math.min(1, Math.min(f.width, f.height) / 560));
    const radius = room * Math.max(1.8, Math.min(4.5, 95 / Math.sqrt(spec.n)));
    const { theme } = this.map;
    const colours = new Map();
    for (let i = 0; i < spec.n; i++) {
      const name = `${pathColour(this.paths, i, theme)}|${kept[i]}`;
      if (!colours.has(name)) colours.set(name, []);
      colours.get(name).push(i);
    }
    for (const [name, cells] of colours) {
      const [colour, within] = name.split("|");
      context.beginPath();
      for (const i of cells) {
        const [px, py] = toPixels(f, now[2 * i], now[2 * i + 1]);
        if (!Number.isFinite(px)) continue;
        context.moveTo(px + radius, py);
        context.arc(px, py, radius, 0, 6.2832);
      }
      context.globalAlpha = within === "1" ? 0.95 : 0.4;
      context.lineWidth = 1.6;
      context.strokeStyle = theme.dark ? "#0e1117" : "#ffffff";
      context.fillStyle = colour;
      context.stroke();
      context.fill();
    }
    context.globalAlpha = 1;
  }

  paintSolid(now) {
    const { gd } = this.map;
    const at = gd.data?.findIndex((trace) => trace.meta === "moving") ?? -1;
    if (at < 0) return;
    if (this.solidBusy) return;
    this.solidBusy = true;
    const [x, y, z] = this.solid(now);
    const done = () => (this.solidBusy = false);
    window.Plotly.restyle(gd, { x: [x], y: [y], z: [z] }, [at]).then(done, done);
  }

  // In 3-D fewer cells move, because each step draws the scene again.
  solid(now) {
    const step = Math.ceil(this.paths.spec.n / MOST_SOLID);
    const length = Math.floor(this.paths.spec.n / step);
    return [0, 1, 2].map((d) => Array.from({ length }, (_, i) => now[3 * i * step + d]));
  }

  // In 3-D the moving cells are one more trace, whose places change.
  traces() {
    if (!this.paths || this.map.dims !== 3) return [];
    const { now } = this.places();
    const [x, y, z] = this.solid(now);
    const step = Math.ceil(this.paths.spec.n / MOST_SOLID);
    const color = x.map((_, i) => pathColour(this.paths, i * step, this.map.theme));
    const marker = { color, size: 4, line: { width: 0 } };
    const quiet = { meta: "moving", hoverinfo: "none", showlegend: false };
    return [{ type: "scatter3d", mode: "markers", x, y, z, marker, ...quiet }];
  }
}
