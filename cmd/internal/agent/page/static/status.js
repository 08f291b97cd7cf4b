import { entry } from "./detail.js";
import { tell } from "./election.js";
import { clock, count, elapsed, name } from "./format.js";

const find = (selector) => document.querySelector(selector);
const quiet = 2500; // between announcements

function set(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

// Status is everything around the elections: how the connections are, how many elections there are, what has changed last,
// and what is read aloud.
export class Status {
  #said; // the newest change that was announced, or was there before the page
  #listens = false;
  #next = 0; // when something may be announced again
  #fed = null;

  constructor(store) {
    this.store = store;
    set(find("#host"), location.host);
  }

  // draw draws what events change; tick also does.
  draw() {
    const { agent, etcd } = this.store;
    const root = document.documentElement;
    root.dataset.agent = agent.kind;
    root.dataset.etcd = !etcd ? "connecting" : etcd.reachable ? "reachable" : "lost";
    root.classList.toggle("stale", this.store.stale);
    const { all, vacant } = this.store.counts();
    const led = vacant === 0 ? (all === 1 ? "It has a leader." : "Each has a leader.") : `${(all - vacant).toLocaleString("en")} led, ${vacant.toLocaleString("en")} without a leader.`;
    set(find("#title"), count(all, "election"));
    set(find("#sums"), led);
    const only = find("#vacant-only");
    only.hidden = vacant === 0 && only.getAttribute("aria-pressed") === "false";
    set(only, `${vacant.toLocaleString("en")} vacant`);
    const title = this.store.stale ? "stale · locked" : vacant ? `(${vacant}) locked` : "locked";
    if (document.title !== title) document.title = title;
    this.#feed();
    this.tick();
  }

  tick() {
    this.#links();
    this.#banner();
    this.#announce();
  }

  #links() {
    const { agent, etcd } = this.store;
    const ago = (t) => elapsed(this.store.clock() - t);
    link("#agent-link", agent.kind === "live" ? "live" : agent.kind === "connecting" ? "connecting" : "lost",
      agent.kind === "live" ? "live" : agent.kind === "connecting" ? "connecting" : agent.kind === "denied" ? "no token" : `lost ${ago(agent.since)}`);
    if (agent.kind !== "live") link("#etcd-link", "connecting", "unknown");
    else if (!etcd) link("#etcd-link", "connecting", "connecting");
    else if (etcd.reachable) link("#etcd-link", "live", etcd.latency_ms ? `${etcd.latency_ms.toFixed(1)} ms` : "live");
    else link("#etcd-link", "lost", `lost ${ago(etcd.since)}`);
    find("#etcd-link").title = etcd?.reachable ? `etcd is at revision ${etcd.revision ?? "?"}` : (etcd?.error ?? "");
  }

  #banner() {
    const { agent, etcd, synced } = this.store;
    const banner = find("#banner");
    const since = this.store.staleSince;
    const lost = since !== null && (synced || agent.kind === "lost");
    if (banner.hidden === lost) banner.hidden = !lost;
    if (!lost) return;
    const at = clock(this.store.local(since));
    const ofAgent = agent.kind !== "live";
    set(banner.querySelector("strong"), ofAgent ? `Stale: the agent is lost since ${at}.` : `Stale: the agent has lost etcd since ${at}.`);
    set(banner.querySelector("span"), ofAgent
      ? `${agent.reason ? `Why: ${agent.reason}. ` : ""}${synced ? "This is how it was then; elections go on without this page." : ""}`
      : "This is how it was then. Until etcd is back nobody new is elected, and who leads stops when its time has run out.");
    find("#retry").hidden = !ofAgent;
  }

  #feed() {
    const { changes } = this.store;
    find("#feed").hidden = changes.length === 0;
    if (this.#fed === changes[0]) return;
    this.#fed = changes[0];
    find("#feed ol").replaceChildren(...changes.slice(0, 30).map((c) => entry(c, this.store, true)));
  }

  // announce reads aloud what has happened, in one sentence for all that happens close together.
  #announce() {
    const { changes, synced } = this.store;
    if (!this.#listens) {
      this.#listens = synced;
      this.#said = changes[0];
      return;
    }
    const n = changes.indexOf(this.#said);
    const fresh = n < 0 ? changes : changes.slice(0, n);
    if (fresh.length === 0 || Date.now() < this.#next) return;
    this.#said = fresh[0];
    this.#next = Date.now() + quiet;
    const { who, what } = tell(fresh[0], name);
    const { vacant } = this.store.counts();
    set(find("#live"), fresh.length === 1 ? `${fresh[0].path}: ${who} ${what}` : `${count(fresh.length, "change")}. ${vacant} without a leader.`);
  }
}

function link(selector, state, text) {
  const el = find(selector);
  el.dataset.state = state;
  set(el.querySelector("span"), text);
}
