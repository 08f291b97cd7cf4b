#!/usr/bin/env node
// A candidate of a locked agent on this machine, with Node alone.
//
//   candidate.mjs PATH ID VALUE
//
// It prints "lead TOKEN" when its work may begin, and "stop REASON" when it must have ended.

import { readFileSync } from "node:fs";
import http from "node:http";

const uptimeMS = () => parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000;

export class Candidate {
  #url;
  #params;
  #until = 0; // uptime in milliseconds up to which we may believe that we lead
  #leading = false;
  #timer;
  #key;

  constructor(agent, path, params) {
    this.#url = `${agent}/v1/elections/${encodeURIComponent(path)}`;
    this.#params = params;
  }

  // Ask this before each thing that only the leader may do.
  leads() {
    return uptimeMS() < this.#until;
  }

  // Competes until the connection or the agent's word has run out. Closing the connection hands over at once, so it is
  // closed only when onStop has ended.
  run(onLead, onStop) {
    return new Promise((resolve) => {
      let silence = 60_000;
      let token;
      let request;
      const end = async (why) => {
        clearTimeout(this.#timer);
        if (this.#leading) {
          this.#leading = false;
          await onStop(why);
        }
        this.#until = 0;
        request.destroy();
        resolve(why);
      };
      const wait = () => {
        clearTimeout(this.#timer);
        const left = this.#leading ? Math.max(0, this.#until - uptimeMS()) : silence;
        this.#timer = setTimeout(() => (this.#leading && this.leads() ? wait() : end("the agent is silent")), left);
      };
      const told = async (event, data) => {
        if (event === "candidacy") {
          this.#key = data.candidacy;
          silence = 3 * data.heartbeat_ms;
          return;
        }
        if (data.leads && !data.good_until_uptime_ms) {
          return end("the agent is not on this machine, or behind a proxy: its clock is not known here");
        }
        this.#until = data.good_until_uptime_ms ?? 0;
        if (event === "select" && this.leads()) {
          this.#leading = true;
          token = data.token;
          onLead(token);
        } else if (this.#leading && !this.leads()) {
          this.#leading = false;
          await onStop(data.reason ?? "the agent has not heard of etcd in time");
          this.#release(token);
        }
        wait();
      };
      request = http.request(`${this.#url}/campaign?${new URLSearchParams(this.#params)}`, { method: "POST", agent: false });
      request.on("error", (err) => end(err.message));
      request.on("response", (answer) => {
        if (answer.statusCode !== 200) {
          answer.resume();
          end(`the agent answers ${answer.statusCode}`);
          return;
        }
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk) => {
          text += chunk;
          const events = text.split("\n\n");
          text = events.pop();
          for (const block of events) {
            const event = /^event: (.*)$/m.exec(block)?.[1];
            const data = /^data: (.*)$/m.exec(block)?.[1];
            if (event) told(event, JSON.parse(data));
          }
        });
        answer.on("close", () => end("the connection has ended"));
      });
      wait();
      request.end();
    });
  }

  // Says that our work has ended, so that the next one need not wait until we could not believe any more.
  #release(token) {
    const request = http.request(`${this.#url}/release?candidacy=${this.#key}&token=${token}`, { method: "POST", agent: false });
    request.on("error", () => {}); // then it does wait
    request.on("response", (answer) => answer.resume());
    request.end();
  }
}

const [path, id, value] = process.argv.slice(2);
if (!value) {
  console.error("candidate.mjs PATH ID VALUE");
  process.exit(64);
}
const me = new Candidate(process.env.LOCKED_AGENT ?? "http://127.0.0.1:7070", path, { id, value, ttl: process.env.LOCKED_TTL ?? "10s" });
for (;;) {
  const why = await me.run((token) => console.log("lead", token), (reason) => console.log("stop", reason));
  console.error("again in a second:", why);
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
