const most = 100; // terms and changes that are kept

// Election is one election as the page knows it.
//
// A term is { id, token, from, known, to, how, gap, unseen, odd }: from is when it was seen to begin, if that is known, and
// otherwise when the page first saw it; to is null while it lasts; odd alternates; how it began is one of
//
//   first      nobody led before, as far as is known
//   handover   the one before handed over: at no time there was no leader
//   gap        the one before was gone for gap milliseconds
//   unseen     how it went was not seen: nothing was for unseen milliseconds, if that is known. No gap is claimed then
//
// A change is { at, path, kind, id, from, token, gap, unseen, missed }, and stays as it is: kind is how a term began, or vacant,
// or value.
export class Election {
  leader = null;
  queue = [];
  waiting = 0;
  revision = 0;
  terms = 0; // that the agent has seen
  history = []; // terms, the newest first
  changes = []; // the newest first
  vacantSince = null;
  vacantKnown = false;
  generation = 0;
  #text = null;

  constructor(path) {
    this.path = path;
  }

  // empty: nobody leads and nobody waits.
  get empty() {
    return !this.leader && this.waiting === 0;
  }

  // term is the one that lasts.
  get term() {
    return this.leader ? this.history[0] : null;
  }

  // text is what a filter looks at.
  get text() {
    if (this.#text === null) {
      const ids = this.queue.map((m) => m.id).join("\n");
      this.#text = `${this.path}\n${this.leader?.id ?? ""}\n${this.leader?.value ?? ""}\n${ids}`.toLowerCase();
    }
    return this.#text;
  }

  // apply takes the state as it is now, and gives the change that this is, if any. What was there before the page is none. The
  // last time in which the page could see nothing is blind, { from, to }, if there was one.
  apply(state, now, seen, blind) {
    const before = this.leader;
    const { leader } = state;
    const fresh = this.history.length === 0 && this.vacantSince === null;
    const missed = Math.max(0, state.terms - this.terms - 1);
    const restarted = state.terms < this.terms; // the agent has begun to count anew
    this.leader = leader;
    this.queue = state.queue;
    this.waiting = state.waiting;
    this.revision = state.revision;
    this.terms = state.terms;
    this.#text = null;
    if (!leader) return before || fresh ? this.#vacate(before, now, fresh, seen) : null;
    if (before?.token === leader.token) return this.#value(before, leader, now);
    return this.#begin(state, before, { now, fresh, seen, blind, missed: fresh || restarted ? 0 : missed });
  }

  #vacate(before, now, fresh, seen) {
    if (before) this.history[0].to = now;
    this.vacantSince = now;
    this.vacantKnown = Boolean(before);
    if (fresh && !seen) return null;
    return this.#note({ at: now, kind: "vacant", id: "", from: before?.id });
  }

  #value(before, leader, now) {
    const same = before.value === leader.value && before.value_base64 === leader.value_base64;
    return same ? null : this.#note({ at: now, kind: "value", id: leader.id, token: leader.token });
  }

  // begin begins a term, and ends the one before when it ended.
  #begin(state, before, { now, fresh, seen, blind, missed }) {
    const { leader } = state;
    const known = state.since !== undefined;
    const from = known ? Date.parse(state.since) : now;
    let gap = state.gap_ms ?? null;
    const last = this.history[0];
    let unseen = state.unseen_ms ?? null;
    if (gap === null && unseen === null && this.vacantKnown && known) {
      // What the agent does not know any more, the page may have seen.
      if (blind && (blind.to ?? now) > this.vacantSince) unseen = (blind.to ?? now) - blind.from;
      else gap = Math.max(1, from - this.vacantSince);
    }
    let how = "unseen";
    if (gap === 0) how = "handover";
    else if (gap !== null) how = "gap";
    else if (!last && unseen === null) how = "first";
    if (last && last.to === null) last.to = Math.max(last.from, from - (gap ?? unseen ?? 0));
    this.vacantSince = null;
    this.vacantKnown = false;
    const odd = last?.odd === false;
    this.history.unshift({ id: leader.id, token: leader.token, from, known, to: null, how, gap, unseen, odd });
    this.history.length = Math.min(this.history.length, most);
    if (fresh && !seen && !known) return null;
    return this.#note({ at: from, kind: how, id: leader.id, from: (before ?? last)?.id, token: leader.token, gap, unseen, missed });
  }

  // note keeps a change. The end of a vacancy takes the place of its beginning, in replaces.
  #note(change) {
    const open = this.changes[0];
    const noted = { path: this.path, ...change };
    if (open?.kind === "vacant") {
      this.changes.shift();
      noted.replaces = open;
      noted.from = open.from ?? change.from;
    }
    this.changes.unshift(noted);
    this.changes.length = Math.min(this.changes.length, most);
    return noted;
  }
}

// tell says a change in words: who, what, and how long nobody led. The page shows them apart.
export function tell(change, name) {
  const who = name({ id: change.id });
  const from = change.from === undefined ? null : name({ id: change.from });
  switch (change.kind) {
    case "handover":
      return { who, what: from === null ? "took over" : from === who ? "was elected again" : `took over from ${from}` };
    case "gap":
      return { who, what: from === null || from === who ? "was elected" : `was elected after ${from}` };
    case "unseen":
      return { who, what: from === null || from === who ? "leads" : `leads, no longer ${from}` };
    case "value":
      return { who, what: "changed its value" };
    case "vacant":
      return { who: "Nobody", what: from === null ? "leads" : `leads: ${from} is gone` };
    default:
      return { who, what: "was elected" };
  }
}
