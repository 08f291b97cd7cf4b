import { EventParser } from "./sse.js";

// How long the agent may be silent: it says something every two seconds.
const patience = 7000;
const pauses = [250, 500, 1000, 2000, 4000];

// Stream keeps listening to the agent. It calls onEvent(name, data) for each event, and onState(state) when that changes:
//
//   connecting   nothing is known yet
//   live         the agent speaks
//   lost         it does not, for the reason, and is called again and again
//   denied       it wants another token or prefix: call access
//
// A state has { kind, reason, problem }.
export class Stream {
  #token = "";
  #prefix = "";
  #abort = null;
  #wake = () => {};
  #tries = 0;

  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
  }

  // access says what to show to the agent, and what to ask for. It connects anew.
  access(token, prefix) {
    this.#token = token;
    this.#prefix = prefix;
    this.#tries = 0;
    this.#abort?.abort(new Error("asked anew"));
    this.#wake();
  }

  // now tries again without waiting any longer.
  now() {
    this.#wake();
  }

  get headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async run() {
    this.onState({ kind: "connecting" });
    for (;;) {
      const state = await this.#listen();
      this.onState(state);
      const pause = pauses[Math.min(this.#tries++, pauses.length - 1)];
      await new Promise((done) => {
        this.#wake = done;
        if (state.kind === "lost") setTimeout(done, pause * (0.75 + Math.random() / 2));
      });
      this.#wake = () => {};
    }
  }

  // listen reads one stream to its end, and says what then.
  async #listen() {
    const abort = (this.#abort = new AbortController());
    const silent = () => abort.abort(new Error(`it has said nothing for ${patience / 1000} seconds`));
    let timer = setTimeout(silent, patience);
    let reason = "it has closed the connection";
    try {
      const query = this.#prefix ? `?prefix=${encodeURIComponent(this.#prefix)}` : "";
      const resp = await fetch(`v1/events${query}`, { headers: this.headers, cache: "no-store", signal: abort.signal });
      if (!resp.ok) return await refused(resp);
      const parser = new EventParser();
      const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { kind: "lost", reason };
        clearTimeout(timer);
        timer = setTimeout(silent, patience);
        for (const { name, data } of parser.push(value)) {
          if (name === "end") reason = JSON.parse(data).cause;
          else this.#tell(name, JSON.parse(data));
        }
      }
    } catch (err) {
      const cause = abort.signal.aborted ? abort.signal.reason : err;
      return { kind: "lost", reason: cause instanceof TypeError ? "it does not answer" : cause.message };
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  #tell(name, data) {
    if (name === "etcd") {
      this.#tries = 0;
      this.onState({ kind: "live" });
    }
    this.onEvent(name, data);
  }
}

// refused says what an answer means that is no stream.
async function refused(resp) {
  const problem = await problemOf(resp);
  const kind = resp.status === 401 || resp.status === 403 ? "denied" : "lost";
  return { kind, reason: problem.detail, problem };
}

// problemOf reads RFC 9457, or makes do with the status.
export async function problemOf(resp) {
  try {
    const problem = await resp.json();
    if (problem.detail) return problem;
  } catch {
    // something between here and the agent has answered
  }
  return { status: resp.status, detail: `it answers ${resp.status} ${resp.statusText}`.trim() };
}
