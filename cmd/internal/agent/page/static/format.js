// How times, values and paths are written.

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const two = (n) => String(n).padStart(2, "0");

// elapsed writes a time that goes on: 42 s, 12 m 04 s, 3 h 07 m, 2 d 04 h.
export function elapsed(ms) {
  const t = Math.max(0, ms);
  if (t < minute) return `${Math.floor(t / second)} s`;
  if (t < hour) return `${Math.floor(t / minute)} m ${two(Math.floor((t % minute) / second))} s`;
  if (t < day) return `${Math.floor(t / hour)} h ${two(Math.floor((t % hour) / minute))} m`;
  return `${Math.floor(t / day)} d ${two(Math.floor((t % day) / hour))} h`;
}

// measured writes a time that is over, as exactly as it is known: 0.4 ms, 31 ms, 2.31 s, 1 m 04 s.
export function measured(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < second) return `${Math.round(ms)} ms`;
  if (ms < 10 * second) return `${(ms / second).toFixed(2)} s`;
  if (ms < minute) return `${(ms / second).toFixed(1)} s`;
  return elapsed(ms);
}

// clock writes the time of day, with the date if that was not within the last hours.
export function clock(t, now = Date.now()) {
  const d = new Date(t);
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  if (Math.abs(now - t) < 18 * hour) return time;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`;
}

// count writes a number with its word: 1 election, 1,000 elections.
export function count(n, one, many = one + "s") {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// value gives what a candidate announces as text to show, and what to say of it.
export function value(member) {
  if (member.value_base64 !== undefined) {
    const bytes = atob(member.value_base64);
    const hex = Array.from(bytes.slice(0, 256), (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    return { text: hex + (bytes.length > 256 ? " …" : ""), note: `${count(bytes.length, "byte")}, not UTF-8`, binary: true };
  }
  const text = member.value ?? "";
  if (member.truncated) return { text, note: "the beginning of a longer value" };
  return { text, note: text === "" ? "no value" : "" };
}

// name writes who it is: an id may be empty.
export const name = (member) => member?.id || "(no name)";

// parts cuts a path so that its last segment can stand out.
export function parts(path) {
  const cut = path.length < 2 ? 0 : path.lastIndexOf("/", path.length - 2) + 1;
  return [path.slice(0, cut), path.slice(cut)];
}

// link and linked turn a path into the fragment of a URL, and back.
export const link = (path) => "#" + path.split("/").map(encodeURIComponent).join("/");

export function linked(hash) {
  if (hash.length < 2) return null;
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return null;
  }
}
