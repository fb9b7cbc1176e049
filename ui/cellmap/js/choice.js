// Which cells are chosen: by an outline or by groups. Python is told the outline or the groups, never the cells.

import { insidePolygon, withCodes } from "./points.js";

// The cells in colour while the others are grey; null for all.
export function emphasis(map) {
  if (map.chosen) return map.chosen.mask;
  if (map.emphasisCodes) return withCodes(map.arrays.codes, map.emphasisCodes).mask;
  return map.arrays.highlight;
}

// What Python still holds, for a map that was built anew.
export function restore(selected, arrays) {
  const found =
    selected.kind === "categories"
      ? arrays.picked && withCodes(arrays.picked, selected.codes)
      : insidePolygon(arrays.xy, selected.polygon);
  return found ? { ...selected, ...found } : null;
}

export function choose(map, what) {
  if (!what) map.chosen = map.emphasisCodes = null;
  else {
    const { xy, codes } = map.arrays;
    const found = what.polygon ? insidePolygon(xy, what.polygon) : withCodes(codes, what.codes);
    map.chosen = found.total ? { ...what, ...found, space: map.spec.xy.id } : null;
    if (what.polygon) map.emphasisCodes = null;
  }
  const { mask, total, ...message } = map.chosen ?? {};
  map.send = { ...map.send, data: { ...map.send.data, selected: null } };
  map.send.setStateValue("selection", map.chosen ? { ...message, n: total } : null);
  map.again();
}

// A click in the legend: this group alone, or added to the others; once more for all.
export function pickGroups(map, code, add) {
  const picked = new Set(add ? map.emphasisCodes : []);
  const alone = map.emphasisCodes?.size === 1 && map.emphasisCodes.has(code);
  if (code === null || (alone && !add)) picked.clear();
  else if (add && picked.has(code)) picked.delete(code);
  else picked.add(code);
  map.emphasisCodes = picked.size ? picked : null;
  if (!map.spec.selection) map.again();
  else if (!picked.size) choose(map, null);
  else {
    const { codes: ref, names, label } = map.colour;
    const codes = [...picked].sort((a, b) => a - b);
    const named = { codes, names: codes.map((c) => names[c]), column: label };
    choose(map, { kind: "categories", array: ref.id, type: ref.type, ...named });
  }
}
