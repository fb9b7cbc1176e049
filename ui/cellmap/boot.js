// Finds the server's root, loads the map's own modules from it once, and hands every message on to them.
const loaded = new Map();

function serverRoot(prefix) {
  const script = document.querySelector('script[src*="/static/js/"]');
  if (script) return script.src.slice(0, script.src.indexOf("/static/js/"));
  return window.location.origin + (prefix === "/" ? "" : prefix);
}

function placeholder(parent, height) {
  const box = document.createElement("div");
  box.className = "ds-map";
  box.style.minHeight = `${height + 48}px`;
  parent.append(box);
  return box;
}

export default function (component) {
  const { data, parentElement } = component;
  const root = serverRoot(data.prefix);
  const url = `${root}/api/map/code/${data.code}/main.js`;
  const box = parentElement.querySelector(":scope > .ds-map") ?? placeholder(parentElement, data.height);
  if (!loaded.has(url)) loaded.set(url, import(url));
  loaded.get(url).then(
    (code) => code.receive(box, { ...component, root }),
    () => {
      loaded.delete(url);
      box.textContent = "The map could not be loaded. Reload the page.";
    },
  );
  // Streamlit also calls this for messages that were overtaken; the map goes only when its place is gone.
  return () => setTimeout(() => box.isConnected || loaded.get(url)?.then((code) => code.release(box)), 50);
}
