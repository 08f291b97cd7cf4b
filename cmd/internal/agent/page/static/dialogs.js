import { name } from "./format.js";
import { problemOf } from "./stream.js";

const find = (selector) => document.querySelector(selector);
const most = 30_000; // that a handover may take

// HandOver asks whom to hand over to, and sees that it is done.
export class HandOver {
  #el = find("#hand-over");
  #path = null;
  #token = null; // of the leader that was asked about
  #abort = null;

  constructor(store, headers) {
    this.store = store;
    this.headers = headers;
    this.find = (selector) => this.#el.querySelector(selector);
    this.find(".cancel").addEventListener("click", () => this.#el.close());
    this.find("form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.#send();
    });
    this.#el.addEventListener("close", () => this.#abort?.abort());
  }

  ask(path) {
    const e = this.store.elections.get(path);
    if (!e?.leader || e.queue.length === 0) return;
    this.#path = path;
    this.#token = e.leader.token;
    this.find("h2").textContent = `Hand over ${path}`;
    this.find(".about").textContent =
      `${name(e.leader)} leads with token ${e.leader.token}. It is told to stop, ends its work, and then the other one is elected: at no time are there two.`;
    this.find(".choices").replaceChildren(
      choice("", `The next in line`, name(e.queue[0]), true),
      ...e.queue.filter((m) => m.id !== "").map((m) => choice(m.id, name(m), "", false)),
    );
    this.#state("", "");
    if (!this.#el.open) this.#el.showModal();
    this.find("input").focus();
  }

  #state(trouble, pending) {
    for (const [selector, text] of [[".trouble", trouble], [".pending", pending]]) {
      this.find(selector).textContent = text;
      this.find(selector).hidden = text === "";
    }
    this.find(".primary").disabled = this.find("fieldset").disabled = pending !== "";
  }

  async #send() {
    const path = this.#path;
    const id = this.find("input:checked").value;
    const { leader } = this.store.elections.get(path) ?? {};
    if (leader?.token !== this.#token) {
      this.ask(path);
      return this.#state(leader ? `Meanwhile ${name(leader)} was elected. Is it to hand over?` : "Meanwhile the leader is gone.", "");
    }
    this.#state("", `Waiting for ${name(leader)} to end its work…`);
    this.#abort = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(most + 5000)]);
    try {
      const resp = await fetch(`v1/elections/${encodeURIComponent(path)}/transfer`, {
        method: "POST",
        headers: { ...this.headers(), "Content-Type": "application/json" },
        body: JSON.stringify({ ...(id && { id }), timeout: `${most / 1000}s` }),
        signal,
      });
      if (!resp.ok) return this.#state(sentence((await problemOf(resp)).detail), "");
      this.#el.close(); // the stream tells the rest
    } catch (err) {
      if (this.#abort.signal.aborted) return; // cancelled: what was asked for may still be done
      this.#state(err.name === "TimeoutError" ? "It was not done in time." : "The agent does not answer.", "");
    }
  }
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

function choice(id, text, note, checked) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "to", value: id, checked });
  const who = document.createElement("bdi");
  who.textContent = text;
  label.append(input, who);
  if (note) {
    const also = document.createElement("small");
    also.textContent = note;
    label.append(also);
  }
  return label;
}

// Access asks for a token, and for the paths that it is for. The tab keeps both.
export class Access {
  #el = find("#access");

  constructor(onGiven) {
    this.onGiven = onGiven;
    const { token, prefix } = this.#el.querySelector("form").elements;
    this.fields = { token, prefix };
    this.#el.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#el.close();
      keep("locked.token", token.value.trim());
      keep("locked.prefix", prefix.value.trim());
      this.onGiven(token.value.trim(), prefix.value.trim());
    });
    this.#el.addEventListener("cancel", (e) => e.preventDefault()); // without it there is nothing to see
  }

  get kept() {
    const asked = new URLSearchParams(location.search).get("prefix");
    return { token: kept("locked.token"), prefix: asked ?? kept("locked.prefix") };
  }

  ask(problem) {
    const { token, prefix } = this.kept;
    this.fields.token.value = token;
    this.fields.prefix.value = prefix;
    const trouble = this.#el.querySelector(".trouble");
    trouble.textContent = problem && (token || problem.field) ? sentence(problem.detail) : "";
    trouble.hidden = trouble.textContent === "";
    this.#el.querySelector("h2").textContent = problem?.status === 403 ? "Which elections?" : "This agent wants a token";
    if (!this.#el.open) this.#el.showModal();
    (problem?.field === "prefix" ? this.fields.prefix : this.fields.token).focus();
  }
}

function keep(key, text) {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // a browser that keeps nothing: it asks again next time
  }
}

function kept(key) {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}
