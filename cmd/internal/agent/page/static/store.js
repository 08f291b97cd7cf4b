import { Election } from "./election.js";

const mostChanges = 200;
const mostBlind = 50;
const keepEmpty = 5 * 60_000; // an election of which nothing is left

// Store is what the page knows. All times in it are the agent's, in milliseconds; local turns one into the browser's.
export class Store {
  elections = new Map(); // by path
  changes = []; // of all elections, the newest first
  blind = []; // when nothing could be seen: { from, to }, with to null while that lasts
  etcd = null; // as the agent said last
  agent = { kind: "connecting" };
  synced = false; // every election was told of
  dirty = new Set(); // paths of elections that have changed since the page was drawn

  #skews = []; // of the browser's clock against the agent's, at the last events
  #skew = 0;
  #held = null; // events that wait for the agent's time
  #heard = null; // when the agent has said something last
  #generation = 0;
  #frozen = null; // the last time at which what is shown was true

  constructor(onChange) {
    this.onChange = onChange;
  }

  // now is the agent's time. It stands still while nothing can be seen.
  now() {
    return this.#frozen ?? this.clock();
  }

  // clock is the agent's time, whatever can be seen.
  clock() {
    return Date.now() - this.#skew;
  }

  local(t) {
    return t + this.#skew;
  }

  get stale() {
    return this.#frozen !== null;
  }

  get staleSince() {
    return this.#frozen;
  }

  // counts tells how many elections there are, and how many nobody leads.
  counts() {
    let vacant = 0;
    for (const e of this.elections.values()) if (!e.leader) vacant++;
    return { all: this.elections.size, vacant };
  }

  // connection takes a state of the stream.
  connection(state) {
    const before = this.agent.kind;
    if (state.kind === before && state.kind !== "denied" && state.reason === this.agent.reason) return;
    let since = this.clock();
    if (state.kind === before) since = this.agent.since;
    else if (state.kind === "lost") since = this.#heard ?? since;
    this.agent = { ...state, since };
    this.#look();
    this.onChange();
  }

  // event takes an event of the stream.
  event(name, data) {
    this.#heard = this.clock();
    if (name === "reset") this.#held = this.#skews.length ? null : [];
    if (name === "etcd") this.#etcd(data);
    else if (this.#held) this.#held.push([name, data]);
    else this.#apply(name, data);
    this.onChange();
  }

  #etcd(data) {
    this.#skews.push(Date.now() - Date.parse(data.at));
    if (this.#skews.length > 15) this.#skews.shift();
    this.#skew = Math.min(...this.#skews); // the one that was the shortest on its way
    this.etcd = { ...data, since: Date.parse(data.since) };
    const held = this.#held ?? [];
    this.#held = null;
    this.#look();
    for (const [n, d] of held) this.#apply(n, d);
  }

  #apply(name, data) {
    if (name === "reset") this.#generation++;
    if (name === "election") this.#election(data);
    if (name === "synced") this.#sync();
  }

  #election(state) {
    let e = this.elections.get(state.path);
    if (!e) {
      if (!state.leader && state.queue.length === 0) return;
      e = new Election(state.path);
      this.elections.set(state.path, e);
    }
    e.generation = this.#generation;
    this.dirty.add(state.path);
    this.#note(e.apply(state, this.clock(), this.synced, this.blind[0]));
  }

  // sync ends what was not told of: it does not exist any more.
  #sync() {
    for (const e of this.elections.values()) {
      if (e.generation === this.#generation || e.empty) continue;
      this.dirty.add(e.path);
      this.#note(e.apply({ path: e.path, leader: null, queue: [], waiting: 0, terms: e.terms, revision: e.revision }, this.clock(), true, this.blind[0]));
    }
    if (!this.synced) this.changes.sort((a, b) => b.at - a.at); // what was before the page came in the order of the paths
    this.synced = true;
    this.changes.length = Math.min(this.changes.length, mostChanges);
  }

  #note(change) {
    if (!change) return;
    const old = this.changes.indexOf(change.replaces);
    delete change.replaces;
    if (old >= 0) this.changes.splice(old, 1);
    this.changes.unshift(change);
    if (this.synced && this.changes.length > mostChanges) this.changes.length = mostChanges;
  }

  // look notes since when nothing can be seen, and when that ends.
  #look() {
    const etcdLost = this.etcd && !this.etcd.reachable;
    const lost = this.agent.kind === "lost" || this.agent.kind === "denied";
    const since = [lost && this.agent.since, etcdLost && this.etcd.since].filter(Boolean);
    const last = this.blind[0];
    if (since.length > 0) {
      this.#frozen ??= Math.min(...since);
      if (this.synced && last?.to !== null) this.blind.unshift({ from: this.#frozen, to: null });
      if (this.blind.length > mostBlind) this.blind.pop();
    } else if (this.agent.kind === "live") {
      this.#frozen = null;
      if (last?.to === null) last.to = this.clock();
    }
  }

  // forget drops elections of which nothing has been left for a while, but for the one that is looked at.
  forget(shown) {
    for (const e of this.elections.values()) {
      if (!e.empty || e.path === shown || this.clock() - e.vacantSince < keepEmpty) continue;
      this.elections.delete(e.path);
      this.dirty.add(e.path);
    }
  }
}
