import { tell } from "./election.js";
import { clock, count, elapsed, link, measured, name, value } from "./format.js";
import { strip } from "./timeline.js";

const spans = [
  ["1 min", 60_000],
  ["10 min", 10 * 60_000],
  ["1 h", 60 * 60_000],
  ["6 h", 6 * 60 * 60_000],
];
const mostLog = 60;
const template = document.querySelector("#big");

// Detail is one election, large enough to hang on a wall.
export class Detail {
  #path = null;
  #span = spans[1][1];
  #whole = null; // the leader with a value that was fetched, and the revision that it was fetched at: { member, revision }
  #expanded = false;
  #leader;

  // fetchWhole(path) gives a leader with the whole of its value.
  constructor(el, store, onHandOver, fetchWhole) {
    this.el = el;
    this.store = store;
    this.fetchWhole = fetchWhole;
    el.append(template.content.cloneNode(true));
    this.find = (selector) => el.querySelector(selector);
    this.find(".hand").addEventListener("click", () => onHandOver(this.#path));
    this.find(".more").addEventListener("click", () => this.#more());
    this.find(".spans").addEventListener("click", (e) => this.#zoom(Number(e.target.dataset.span)));
    for (const [label, ms] of spans) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.dataset.span = ms;
      this.find(".spans").append(button);
    }
  }

  get path() {
    return this.#path;
  }

  get election() {
    return this.store.elections.get(this.#path);
  }

  // show begins to show another election, or none.
  show(path) {
    this.#path = path;
    this.#whole = null;
    this.#expanded = false;
    this.#leader = undefined;
    this.el.hidden = path === null;
    if (path === null) return;
    this.find("#detail-path bdi").textContent = path;
    this.#zoom(this.#span);
    this.draw();
    this.find("#detail-path").focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  #zoom(span) {
    if (!span) return;
    this.#span = span;
    for (const b of this.find(".spans").children) b.setAttribute("aria-pressed", String(Number(b.dataset.span) === span));
    const steps = [1, 0.75, 0.5, 0.25].map((part) => `−${elapsed(span * part).replace(/ 00 [sm]$/, "")}`);
    this.find(".axis").replaceChildren(...[...steps, "now"].map((text) => item("span", text)));
    this.tick();
  }

  draw() {
    const e = this.election;
    const { leader = null, queue = [], waiting = 0 } = e ?? {};
    const who = leader ? name(leader) : this.store.synced ? "No leader" : "…";
    this.el.dataset.state = leader ? "led" : !this.store.synced ? "unknown" : waiting ? "vacant" : "empty";
    this.find(".label").textContent = leader ? "Leads" : waiting ? "Candidates wait" : e ? "Nobody waits" : this.store.synced ? "No such election" : "Looking";
    this.find(".leader bdi").textContent = who;
    this.find(".leader").dataset.size = size(who);
    this.find(".facts .token").textContent = leader ? leader.token : "–";
    this.find(".facts .sub").textContent = leader ? "fences the leader’s writes" : "nobody has one";
    this.find(".waiting").textContent = waiting || "–";
    this.find(".next").textContent = waiting ? `${name(queue[0])} is next` : "nobody waits";
    this.find(".hand").disabled = !leader || waiting === 0;
    this.#value(leader);
    this.#line(queue, waiting);
    this.#log(e);
    const token = leader?.token ?? null;
    if (this.#leader !== undefined && this.#leader !== token) this.#move();
    if (this.store.synced) this.#leader = token;
    this.tick();
  }

  #move() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.find(".leader").animate([{ opacity: 0, translate: "0 0.25em" }, { opacity: 1, translate: "0 0" }], { duration: 450, easing: "cubic-bezier(.2,.7,.2,1)" });
  }

  #value(leader) {
    const shown = leader ? value(this.#whole?.revision === leader.revision ? this.#whole.member : leader) : { text: "", note: "" };
    this.find(".announces").classList.toggle("none-led", !leader); // its room stays
    this.find(".value bdi").textContent = shown.text;
    this.find(".value").classList.toggle("all", this.#expanded);
    this.find(".note span").textContent = shown.note;
    const more = this.find(".more");
    more.hidden = shown.text.length < 120 && !leader?.truncated;
    more.textContent = this.#expanded ? "Show less" : "Show all of it";
    more.setAttribute("aria-expanded", String(this.#expanded));
  }

  async #more() {
    const { leader } = this.election ?? {};
    this.#expanded = !this.#expanded;
    if (this.#expanded && leader?.truncated && this.#whole?.revision !== leader.revision) {
      const path = this.#path;
      const member = await this.fetchWhole(path);
      if (member?.token === leader.token && this.#path === path) this.#whole = { member, revision: leader.revision };
    }
    if (this.#path !== null) this.#value(this.election?.leader);
  }

  #line(queue, waiting) {
    const items = queue.map((m) => {
      const li = item("li");
      li.append(item("bdi", name(m)), item("bdi", value(m).text.slice(0, 200)));
      return li;
    });
    if (waiting > queue.length) items.push(item("li", `and ${count(waiting - queue.length, "more", "more")}`));
    if (waiting === 0) items.push(item("li", "Nobody waits. If the leader goes, nobody leads."));
    this.find(".line").replaceChildren(...items);
    this.find(".line").classList.toggle("nobody", waiting === 0);
  }

  #log(e) {
    const items = (e?.changes ?? []).slice(0, mostLog).map((c) => entry(c, this.store, false));
    const first = e?.history.at(-1);
    if (first && !first.known) {
      const li = item("li");
      li.append(item("time", clock(this.store.local(first.from))), item("span", `When this page first looked, ${name(first)} led.`));
      items.push(li);
    }
    if (items.length === 0) items.push(item("li", "Nothing has happened since this page was opened."));
    this.find(".log").replaceChildren(...items);
  }

  // tick draws what time changes.
  tick() {
    if (this.#path === null) return;
    const e = this.election;
    const now = this.store.now();
    const term = e?.term;
    const from = term?.from ?? e?.vacantSince ?? null;
    const known = term ? term.known : e?.vacantKnown;
    const time = from === null ? "–" : term ? elapsed(now - from) : now - from < 10_000 ? `${((now - from) / 1000).toFixed(1)} s` : elapsed(now - from);
    this.find(".facts dt").textContent = term || !e ? "Held for" : "Nobody leads for";
    set(this.find(".facts .held"), from !== null && !known ? `≥ ${time}` : time);
    set(this.find(".facts .since"), from === null ? "" : `${known ? "since" : "seen since"} ${clock(this.store.local(from))}`);
    const [gap, how] = outcome(e);
    set(this.find(".facts .gap"), gap);
    set(this.find(".facts .how"), how);
    this.find(".facts .gap").parentElement.title = term?.how === "gap" ? "As etcd saw it: a leader that crashed may have been dead for up to its TTL before" : "";
    this.find(".facts .gap").parentElement.dataset.how = term?.how ?? "";
    if (e) strip(this.find(".strip"), e, this.store, this.#span, true);
    else this.find(".strip").replaceChildren();
  }
}

// outcome tells how the last change went.
function outcome(e) {
  const term = e?.term;
  if (!e) return ["–", ""];
  if (!term) return ["open", "nobody is elected yet"];
  if (term.how === "handover") return ["no gap", "handed over in one step"];
  if (term.how === "gap") return [measured(term.gap), "without a leader before"];
  if (term.unseen !== null) return ["not seen", `for ${measured(term.unseen)}`];
  return term.how === "unseen" ? ["–", "was not seen"] : ["–", term.known ? "the first that was seen" : "none since the page looks"];
}

// size makes long names smaller, so that they can be read from afar as a whole.
const size = (text) => (text.length <= 10 ? "xl" : text.length <= 18 ? "l" : text.length <= 32 ? "m" : "s");

function set(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

function item(tag, text = "") {
  const el = document.createElement(tag);
  el.textContent = text;
  return el;
}

// entry is a change as an item of a list, with its path where there are several.
export function entry(change, store, withPath) {
  const li = item("li");
  li.dataset.kind = change.kind;
  const time = item("time", clock(store.local(change.at)));
  time.dateTime = new Date(store.local(change.at)).toISOString();
  const { who, what } = tell(change, name);
  const text = item("span");
  if (withPath) {
    const path = item("a", change.path);
    path.href = link(change.path);
    text.append(path, " ");
  }
  text.append(item("bdi", who), ` ${what}`);
  li.append(time, text, item("em", badge(change)));
  return li;
}

function badge(change) {
  const missed = change.missed ? `${count(change.missed, "change")} not seen · ` : "";
  if (change.kind === "handover") return `${missed}no gap`;
  if (change.kind === "gap") return `${missed}${measured(change.gap)} gap`;
  if (change.kind === "vacant") return "vacant";
  if (change.unseen != null) return `${missed}not seen for ${measured(change.unseen)}`;
  return missed.slice(0, -3);
}
