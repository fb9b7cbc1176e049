// Between data coordinates and pixels of the plot.

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

// The frame after zooming around a place, or after moving by a share of its size.
export function zoomed(f, factor, [cx, cy]) {
  const around = ([from, to], c) => [c + (from - c) * factor, c + (to - c) * factor];
  return { ...f, x: around(f.x, cx), y: around(f.y, cy) };
}

export function moved(f, dx, dy) {
  const [sx, sy] = [(f.x[1] - f.x[0]) * dx, (f.y[1] - f.y[0]) * dy];
  return { ...f, x: f.x.map((v) => v + sx), y: f.y.map((v) => v + sy) };
}

// How what is drawn in frame `from` has to be moved and scaled to look like frame `to`.
export function between(from, to) {
  const scale = (from.x[1] - from.x[0]) / (to.x[1] - to.x[0]);
  const x = from.left * (1 - scale) + ((from.x[0] - to.x[0]) / (to.x[1] - to.x[0])) * from.width;
  const y = from.top * (1 - scale) + ((to.y[1] - from.y[1]) / (to.y[1] - to.y[0])) * from.height;
  return { scale, x, y };
}
