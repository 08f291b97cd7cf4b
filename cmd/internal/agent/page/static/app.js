import { Detail } from "./detail.js";
import { Access, HandOver } from "./dialogs.js";
import { linked } from "./format.js";
import { List } from "./list.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";

const find = (selector) => document.querySelector(selector);
const few = 6; // elections at most have large cards
const many = 24; // elections at least are rows, unless somebody wants cards

const store = new Store(schedule);
const stream = new Stream((name, data) => store.event(name, data), connection);
const access = new Access((token, prefix) => stream.access(token, prefix));
const handOver = new HandOver(store, () => stream.headers);
const ask = (path) => handOver.ask(path);
const list = new List(find("#list"), store, ask);
const detail = new Detail(find("#detail"), store, ask, fetchWhole);
const status = new Status(store);

function connection(state) {
  store.connection(state);
  if (state.kind === "denied") access.ask(state.problem);
}

async function fetchWhole(path) {
  try {
    const resp = await fetch(`v1/elections/${encodeURIComponent(path)}`, { headers: stream.headers, cache: "no-store" });
    return resp.ok ? await resp.json() : null;
  } catch {
    return null; // what is known is shown
  }
}

// Drawing: once a frame, whatever has happened since the last one.
let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

function draw() {
  scheduled = false;
  const dirty = store.dirty;
  store.dirty = new Set();
  if (dirty.size > 0) {
    list.update(dirty);
    filter();
    density();
  }
  sections();
  const root = document.documentElement;
  const drawn = store.synced ? "all" : "some";
  if (detail.path !== null && (dirty.has(detail.path) || drawn !== root.dataset.drawn)) detail.draw();
  status.draw();
  root.dataset.drawn = drawn;
}

function tick() {
  store.forget(detail.path);
  if (document.hidden) return;
  if (detail.path === null) list.tick();
  else detail.tick();
  status.tick();
}

// sections shows what there is to show: one election, all of them, or how to make the first one.
function sections() {
  const one = detail.path !== null;
  const none = store.elections.size === 0;
  find("#overview").hidden = one || none;
  find("#empty").hidden = one || !none;
  if (!none) return;
  const [title, text, first] = nothing();
  find("#empty h1").textContent = title;
  find("#empty p").textContent = text;
  find("#first-steps").hidden = !first;
}

function nothing() {
  const { agent, etcd, synced } = store;
  if (agent.kind === "lost") return ["The agent does not answer", "It is called again and again; this page comes to life when it is back.", false];
  if (etcd && !etcd.reachable) return ["The agent does not reach etcd", `It goes on trying. ${etcd.error ?? ""}`, false];
  if (agent.kind === "denied") return ["Nothing to see without a token", "", false];
  if (!synced) return ["Looking…", "", false];
  return ["No election yet", "An election begins with its first candidate. Start one from a shell:", true];
}

function curl() {
  const token = access.kept.token ? ` -H "Authorization: Bearer $TOKEN"` : "";
  const prefix = access.kept.prefix.replace(/^\//, "");
  const path = encodeURIComponent(prefix && !prefix.endsWith("/") ? prefix : `${prefix}demo`);
  return `curl -N${token} -d id=a -d value=10.0.0.1:80 \\\n  ${new URL(`v1/elections/${path}/campaign`, location.href)}`;
}

// Filter and density.
function filter() {
  const words = find("#filter").value;
  const vacantOnly = find("#vacant-only").getAttribute("aria-pressed") === "true";
  const n = list.filter(words, vacantOnly);
  find("#no-match").hidden = n > 0 || store.elections.size === 0;
  find("#no-match span").textContent = words ? `Nothing matches “${words}”.` : "Every election has a leader.";
  find("#list").dataset.shown = n;
}

function density() {
  const chosen = remembered("locked.density");
  const { size } = store.elections;
  const { classList } = find("#list");
  const rows = chosen ? chosen === "rows" : size >= many - (classList.contains("rows") ? 6 : 0); // it does not flap
  classList.toggle("rows", rows);
  classList.toggle("few", !rows && size <= few);
  find("#density").setAttribute("aria-pressed", String(rows));
}

function remembered(key, text) {
  try {
    if (text !== undefined) localStorage.setItem(key, text);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

// theme goes to the other colours. What the system wants is not kept, so that it may change its mind.
function theme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (document.documentElement.dataset.theme || system) === "dark" ? "light" : "dark";
  const kept = next === system ? "" : next;
  document.documentElement.dataset.theme = kept;
  remembered("locked.theme", kept);
}

// route shows the election that the URL names.
function route() {
  const path = linked(location.hash);
  const before = detail.path;
  detail.show(path);
  sections();
  if (path === null && before !== null) list.focus(before);
}

function clearFilter() {
  find("#filter").value = "";
  find("#vacant-only").setAttribute("aria-pressed", "false");
  filter();
  schedule();
}

function keys(e) {
  if (e.altKey || e.ctrlKey || e.metaKey || document.querySelector("dialog[open]")) return;
  const typing = e.target.matches("input");
  if (e.key === "/" && !typing) {
    e.preventDefault();
    if (detail.path !== null) location.hash = "";
    find("#filter").focus();
  } else if (e.key === "Escape" && typing) {
    clearFilter();
    list.focus();
  } else if (e.key === "Escape" && detail.path !== null) location.hash = "";
  else if (e.key === "ArrowDown" && e.target.id === "filter") {
    e.preventDefault();
    list.focus();
  }
}

async function copy() {
  const button = find("#copy");
  try {
    await navigator.clipboard.writeText(find("#curl").textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(find("#curl"));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function listen() {
  const on = (selector, type, f) => find(selector).addEventListener(type, f);
  on("#filter", "input", filter);
  on("#clear", "click", clearFilter);
  on("#vacant-only", "click", (e) => {
    e.currentTarget.setAttribute("aria-pressed", String(e.currentTarget.getAttribute("aria-pressed") !== "true"));
    filter();
    schedule();
  });
  on("#density", "click", () => {
    remembered("locked.density", find("#list").classList.contains("rows") ? "cards" : "rows");
    density();
  });
  on("#theme", "click", theme);
  on("#retry", "click", () => stream.now());
  on("#copy", "click", copy);
  addEventListener("hashchange", route);
  addEventListener("keydown", keys);
  addEventListener("online", () => stream.now());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    stream.now();
    tick();
  });
}

listen();
const { token, prefix } = access.kept;
stream.access(token, prefix);
find("#curl").textContent = curl();
route();
schedule();
setInterval(tick, 500); // no second is skipped
setInterval(() => {
  const since = detail.election?.vacantSince ?? null;
  if (since !== null && store.clock() - since < 10_000) detail.tick(); // shows tenths then
}, 100);
stream.run();
