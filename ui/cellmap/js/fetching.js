// Arrays and plotly.js from the server. What the server has forgotten is asked for again through Python.

const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array };
const KEEP_BYTES = 256e6;
const kept = new Map();

export class Overtaken extends Error {}

function keep(id, array) {
  kept.delete(id);
  kept.set(id, array);
  let size = 0;
  for (const held of kept.values()) size += held.byteLength;
  for (const [old, held] of kept) {
    if (size <= KEEP_BYTES || old === id) break;
    size -= held.byteLength;
    kept.delete(old);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// `ask` makes Python register its arrays again; `stale` says that a newer message has come meanwhile.
export async function array(root, ref, { ask, stale }) {
  if (!ref) return null;
  if (kept.has(ref.id)) {
    const held = kept.get(ref.id);
    keep(ref.id, held);
    return held;
  }
  for (let attempt = 0; attempt < 7; attempt++) {
    const answer = await fetch(`${root}/api/map/array/${ref.id}`).catch(() => null);
    if (answer?.ok) {
      const typed = new TYPES[ref.type](await answer.arrayBuffer());
      keep(ref.id, typed);
      return typed;
    }
    if (stale()) throw new Overtaken();
    if (attempt === 0 || attempt === 3) ask();
    await pause(250 * 2 ** attempt);
    if (stale()) throw new Overtaken();
  }
  throw new Error("The server did not send the cells. Reload the page.");
}

let plotly = null;

export function loadPlotly(root, version) {
  if (window.Plotly?.react) return Promise.resolve(window.Plotly);
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${root}/api/map/plotly/${version}.js`;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = null;
      script.remove();
      reject(new Error("The drawing library could not be loaded. Reload the page."));
    };
    document.head.append(script);
  });
  return plotly;
}

export function loadStyle(root, version) {
  const href = `${root}/api/map/code/${version}/map.css`;
  const present = document.querySelector(`link[data-ds-map="${version}"]`);
  if (present) return present.ready;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.dataset.dsMap = version;
  link.ready = new Promise((resolve) => {
    link.onload = link.onerror = resolve;
  });
  link.href = href;
  document.head.append(link);
  return link.ready;
}
