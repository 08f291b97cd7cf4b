import { clock, elapsed, link, name, parts, value } from "./format.js";
import { strip } from "./timeline.js";

const span = 10 * 60_000; // of the strips
const order = new Intl.Collator("en", { numeric: true }).compare;
const template = document.querySelector("#card");

function set(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

// Card is one election in the list.
class Card {
  leader; // token of the one that was drawn

  constructor(election) {
    this.election = election;
    this.el = template.content.firstElementChild.cloneNode(true);
    const find = (selector) => this.el.querySelector(selector);
    this.open = find(".open");
    this.who = find(".who bdi");
    this.value = find(".value bdi");
    this.strip = find(".strip");
    this.held = find(".held");
    this.token = find(".token");
    this.queue = find(".queue");
    this.hand = find(".hand");
    this.open.tabIndex = this.hand.tabIndex = -1; // the list is one stop of the tab key
    this.open.href = link(election.path);
    const [dir, base] = parts(election.path);
    find(".dir").textContent = dir;
    find(".path b").textContent = base;
    this.open.title = election.path;
    this.el.dataset.path = election.path;
  }

  draw(store, moving) {
    const { leader, queue, waiting, empty, path } = this.election;
    const shown = leader ? value(leader) : { text: waiting ? "Candidates wait" : "Nobody waits", note: "" };
    this.el.dataset.state = leader ? "led" : empty ? "empty" : "vacant";
    set(this.who, leader ? name(leader) : "No leader");
    this.who.title = leader ? name(leader) : "";
    set(this.value, shown.text.slice(0, 300) || shown.note);
    this.value.parentElement.classList.toggle("quiet", !leader || shown.text === "");
    this.token.title = leader ? `token ${leader.token}` : "";
    set(this.token, leader ? `№ ${leader.token}` : "");
    set(this.queue, waiting === 0 ? "" : waiting === 1 ? `then ${name(queue[0])}` : `then ${name(queue[0])} +${waiting - 1}`);
    this.queue.title = queue.map(name).join(", ");
    this.hand.disabled = !leader || waiting === 0;
    this.hand.setAttribute("aria-label", `Hand over ${path}`);
    this.open.setAttribute("aria-label", leader ? `${path}, led by ${name(leader)}` : `${path}, nobody leads`);
    const token = leader?.token;
    if (moving && this.leader !== token && this.leader !== undefined) this.move(token !== undefined);
    this.leader = token ?? null;
  }

  // move shows that somebody else leads.
  move(led) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const color = led ? "var(--accent)" : "var(--alarm)";
    this.el.animate([{ outline: `2px solid ${color}`, outlineOffset: "-1px" }, { outline: `2px solid transparent`, outlineOffset: "-1px" }], 1600);
    this.who.animate([{ opacity: 0, translate: "0 0.5em" }, { opacity: 1, translate: "0 0" }], { duration: 320, easing: "ease-out" });
  }

  // tick draws what time changes.
  tick(store) {
    const { term, vacantSince, vacantKnown } = this.election;
    const from = term ? term.from : (vacantSince ?? store.now());
    const known = term ? term.known : vacantKnown;
    const text = `${known ? "" : "≥ "}${elapsed(store.now() - from)}`;
    set(this.held, text);
    const since = `${term ? "leads" : "nobody leads"}, ${known ? "since" : "seen since"} ${clock(store.local(from))}`;
    if (this.held.title !== since) this.held.title = since;
    strip(this.strip, this.election, store, span);
  }
}

// List shows all elections, or those that a filter lets through, in the order of their paths. Cards are made once, change
// when their election does, and tick only while they can be seen.
export class List {
  #cards = new Map();
  #seen = new Set();
  #words = [];
  #vacantOnly = false;
  #active = null; // path of the card that the tab key reaches

  constructor(el, store, onHandOver) {
    this.el = el;
    this.store = store;
    this.watcher = new IntersectionObserver((entries) => this.#look(entries), { rootMargin: "200px" });
    el.addEventListener("click", (e) => {
      if (e.target.closest(".hand")) onHandOver(e.target.closest(".card").dataset.path);
    });
    el.addEventListener("focusin", (e) => this.#activate(e.target.closest(".card")?.dataset.path));
    el.addEventListener("keydown", (e) => this.#key(e, onHandOver));
  }

  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.#cards.get(target.dataset.path);
      if (!isIntersecting || !card) this.#seen.delete(card);
      else {
        this.#seen.add(card);
        card.tick(this.store);
      }
    }
  }

  // update draws the elections with these paths anew.
  update(paths) {
    const fresh = [];
    for (const path of paths) {
      const election = this.store.elections.get(path);
      const card = this.#cards.get(path);
      if (!election) this.#remove(card);
      else if (!card) fresh.push(new Card(election));
      else this.#draw(card, this.#seen.has(card));
    }
    if (fresh.length > 0) this.#insert(fresh);
    if (!this.#cards.has(this.#active)) this.#activate(this.el.querySelector(".card:not([hidden])")?.dataset.path);
  }

  #draw(card, moving) {
    card.draw(this.store, moving);
    card.el.hidden = !this.#passes(card.election);
    if (this.#seen.has(card)) card.tick(this.store);
  }

  #remove(card) {
    if (!card) return;
    this.watcher.unobserve(card.el);
    this.#seen.delete(card);
    this.#cards.delete(card.election.path);
    card.el.remove();
  }

  // insert puts new cards where they belong, in one go through the list.
  #insert(fresh) {
    fresh.sort((a, b) => order(a.election.path, b.election.path));
    let next = this.el.firstElementChild;
    for (const card of fresh) {
      this.#cards.set(card.election.path, card);
      this.#draw(card, false);
      while (next && order(next.dataset.path, card.election.path) < 0) next = next.nextElementSibling;
      this.el.insertBefore(card.el, next);
      this.watcher.observe(card.el);
    }
  }

  tick() {
    for (const card of this.#seen) card.tick(this.store);
  }

  // filter shows only what has all the words, and gives how many that are.
  filter(text, vacantOnly) {
    this.#words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.#vacantOnly = vacantOnly;
    let n = 0;
    for (const card of this.#cards.values()) {
      const passes = this.#passes(card.election);
      if (card.el.hidden === passes) card.el.hidden = !passes;
      if (passes) n++;
    }
    if (this.#cards.get(this.#active)?.el.hidden) this.#activate(this.el.querySelector(".card:not([hidden])")?.dataset.path);
    return n;
  }

  #passes(election) {
    if (this.#vacantOnly && election.leader) return false;
    return this.#words.every((w) => election.text.includes(w));
  }

  // focus goes to a card, or to the one that had it.
  focus(path = this.#active) {
    const card = this.#cards.get(path);
    card?.el.scrollIntoView({ block: "nearest" });
    card?.open.focus({ preventScroll: true });
  }

  #activate(path) {
    const set = (card, index) => {
      if (card) card.open.tabIndex = card.hand.tabIndex = index;
    };
    if (path === undefined) return;
    set(this.#cards.get(this.#active), -1);
    set(this.#cards.get(path), 0);
    this.#active = path;
  }

  #key(e, onHandOver) {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    const here = e.target.closest(".card");
    const all = [...this.el.querySelectorAll(".card:not([hidden])")];
    const at = all.indexOf(here);
    const columns = Math.max(1, all.findIndex((c) => c.offsetTop > all[0].offsetTop));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: all.length - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      if (all[to]) this.focus(all[to].dataset.path);
    } else if (e.key === "h" && !here.querySelector(".hand").disabled) {
      e.preventDefault();
      onHandOver(here.dataset.path);
    }
  }
}
