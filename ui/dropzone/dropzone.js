// The drop zone: one file at a time, sent as the body of a POST; only text is ever put into the page.
const zones = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let zone = zones.get(parentElement);
  if (!zone) {
    zone = build(parentElement);
    zones.set(parentElement, zone);
  }
  zone.data = data;
  zone.tell = (value) => setTriggerValue("sent", value);
  zone.part(".limit").textContent = `Up to ${data.limitText}; it stays on this server.`;
  zone.part("input").accept = data.endings.join(",");
  return () => setTimeout(() => !parentElement.isConnected && zone.request && zone.request.abort(), 1000);
}

function build(root) {
  const zone = { request: null, part: (name) => root.querySelector(name) };
  const box = zone.part(".zone");
  const input = zone.part("input");
  zone.part(".pick").onclick = () => input.click();
  zone.part(".cancel").onclick = () => zone.request && zone.request.abort();
  input.onchange = () => {
    if (input.files.length) send(zone, input.files[0]);
    input.value = "";
  };
  let depth = 0;
  const over = (on) => box.classList.toggle("over", on);
  box.ondragenter = (event) => { event.preventDefault(); depth += 1; over(true); };
  box.ondragover = (event) => event.preventDefault();
  box.ondragleave = () => { depth = Math.max(0, depth - 1); over(depth > 0); };
  box.ondrop = (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    const files = event.dataTransfer ? event.dataTransfer.files : [];
    if (files.length > 1) return say(zone, "One file at a time, please.");
    if (files.length) send(zone, files[0]);
  };
  return zone;
}

function send(zone, file) {
  if (zone.request) return;
  say(zone, "");
  const { limit, limitText, token } = zone.data;
  if (file.size > limit) return say(zone, `${file.name} has ${bytes(file.size)}; the limit is ${limitText}.`);
  if (!file.size) return say(zone, `${file.name} is empty, or is a folder. Choose an h5ad file.`);
  const request = new XMLHttpRequest();
  const started = performance.now();
  zone.request = request;
  busy(zone, file.name);
  request.upload.onprogress = (event) => progress(zone, event.loaded, file.size, started);
  request.onload = () => finish(zone, file, request);
  request.onerror = () => end(zone, "The connection was lost while sending. Try again.");
  request.onabort = () => end(zone, "Cancelled; nothing was kept.");
  request.open("POST", new URL("api/upload", document.baseURI));
  request.setRequestHeader("X-Upload-Token", token);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
}

function finish(zone, file, request) {
  let answer = {};
  try {
    answer = JSON.parse(request.responseText);
  } catch {
    answer = {};
  }
  if (request.status === 200 && answer.upload) {
    end(zone, "");
    zone.tell({ upload: answer.upload, name: file.name });
  } else {
    end(zone, answer.error || `The server refused the file (status ${request.status}). Reload the page and try again.`);
  }
}

function busy(zone, name) {
  zone.part(".idle").hidden = true;
  zone.part(".busy").hidden = false;
  zone.part(".name").textContent = name;
  progress(zone, 0, 1, performance.now());
}

function end(zone, problem) {
  zone.request = null;
  zone.part(".idle").hidden = false;
  zone.part(".busy").hidden = true;
  say(zone, problem);
}

function say(zone, text) {
  const line = zone.part(".problem");
  line.textContent = text;
  line.hidden = !text;
}

function progress(zone, loaded, total, started) {
  const percent = Math.floor((100 * loaded) / total);
  const track = zone.part(".track");
  track.setAttribute("aria-valuenow", percent);
  track.firstElementChild.style.width = `${percent}%`;
  const spent = (performance.now() - started) / 1000;
  const left = loaded > 0 ? (spent * (total - loaded)) / loaded : 0;
  const wait = spent > 2 && left > 1 ? `, about ${seconds(left)} left` : "";
  zone.part(".said").textContent = loaded >= total ? "Sent; the server is storing it" : `${percent} % sent${wait}`;
}

function seconds(value) {
  return value < 90 ? `${Math.ceil(value)} s` : `${Math.ceil(value / 60)} min`;
}

function bytes(value) {
  return value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.ceil(value / 1e6)} MB`;
}
