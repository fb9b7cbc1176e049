// Between data coordinates and pixels of the plot, and the wheel and keys that change the view.

import { EYE } from "./figure.js";

export function frame(map) {
  const layout = map.gd?._fullLayout;
  if (!layout?.xaxis || map.dims !== 2) return null;
  const [x, y] = [layout.xaxis, layout.yaxis];
  const place = { left: x._offset, top: y._offset, width: x._length, height: y._length };
  return { ...place, x: x.range.map(Number), y: y.range.map(Number) };
}

export function toPixels(f, x, y) {
  return [
    f.left + ((x - f.x[0]) / (f.x[1] - f.x[0])) * f.width,
    f.top + (1 - (y - f.y[0]) / (f.y[1] - f.y[0])) * f.height,
  ];
}

export function toData(f, px, py) {
  return [
    f.x[0] + ((px - f.left) / f.width) * (f.x[1] - f.x[0]),
    f.y[0] + (1 - (py - f.top) / f.height) * (f.y[1] - f.y[0]),
  ];
}

export function unitsPerPixel(f) {
  return (f.x[1] - f.x[0]) / f.width;
}

export function zoomed(f, factor, [cx, cy]) {
  const around = ([from, to], c) => [c + (from - c) * factor, c + (to - c) * factor];
  return [around(f.x, cx), around(f.y, cy)];
}

export function moved(f, dx, dy) {
  const [sx, sy] = [(f.x[1] - f.x[0]) * dx, (f.y[1] - f.y[0]) * dy];
  return [f.x.map((v) => v + sx), f.y.map((v) => v + sy)];
}

// The wheel zooms once the map has been clicked, or with Ctrl; otherwise the page scrolls on, and a hint says so.
export function listenWheel(map) {
  const { plot, hint } = map.parts;
  let hideHint = 0;
  plot.addEventListener(
    "wheel",
    (event) => {
      const f = frame(map);
      if (!f) return;
      if (!event.ctrlKey && !event.metaKey && !plot.contains(document.activeElement) && !document.fullscreenElement) {
        hint.textContent = "Click the map, or hold Ctrl, to zoom with the wheel";
        hint.hidden = false;
        clearTimeout(hideHint);
        hideHint = setTimeout(() => (hint.hidden = true), 1200);
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      const box = plot.getBoundingClientRect();
      const steps = Math.max(-1, Math.min(1, (event.deltaY * (event.deltaMode ? 20 : 1)) / 240));
      const now = map.wanted ? { ...f, x: map.wanted[0], y: map.wanted[1] } : f;
      map.look(zoomed(now, 2 ** steps, toData(now, event.clientX - box.left, event.clientY - box.top)));
    },
    { passive: false, capture: true },
  );
}

const MOVES = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };

export function listenKeys(map) {
  map.parts.plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const f = frame(map);
    if (event.key === "Escape") map.escape();
    else if (event.key === "0" || event.key === "Home") map.home();
    else if (event.key === "+" || event.key === "=") map.zoom(1 / 1.5);
    else if (event.key === "-") map.zoom(1.5);
    else if (f && MOVES[event.key]) map.look(moved(f, ...MOVES[event.key]));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

// A new view; requests within one frame are drawn once.
export function look(map, ranges) {
  const due = map.wanted !== null;
  map.wanted = ranges;
  if (due) return;
  requestAnimationFrame(() => {
    const [x, y] = map.wanted;
    map.wanted = null;
    if (!map.gone) window.Plotly.relayout(map.gd, { "xaxis.range": x, "yaxis.range": y });
  });
}

export function zoom(map, factor) {
  const f = frame(map);
  if (f) return look(map, zoomed(f, factor, [(f.x[0] + f.x[1]) / 2, (f.y[0] + f.y[1]) / 2]));
  const eye = map.gd._fullLayout?.scene?._scene?.getCamera?.().eye;
  if (!eye) return;
  const nearer = { x: eye.x * factor, y: eye.y * factor, z: eye.z * factor };
  window.Plotly.relayout(map.gd, { "scene.camera.eye": nearer });
}

export function home(map) {
  if (map.dims === 2) return look(map, map.homeView);
  window.Plotly.relayout(map.gd, { "scene.camera": { eye: EYE } });
}
