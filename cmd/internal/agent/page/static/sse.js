// EventParser reads Server-Sent Events out of text that comes in pieces, cut anywhere. EventSource would do that, but
// cannot send a token.
export class EventParser {
  #line = ""; // begun
  #afterCR = false; // a line feed that comes next belongs to the line before
  #first = true;
  #name = "";
  #data = [];

  // push takes the next piece, and gives the events that are complete with it: { name, data }.
  push(text) {
    const events = [];
    if (this.#first && text) {
      this.#first = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c === 10 && this.#afterCR) {
        this.#afterCR = false;
        from = i + 1;
        continue;
      }
      this.#afterCR = c === 13;
      if (c !== 10 && c !== 13) continue;
      const event = this.#take(this.#line + text.slice(from, i));
      if (event) events.push(event);
      this.#line = "";
      from = i + 1;
    }
    this.#line += text.slice(from);
    return events;
  }

  // take reads one line. An empty one completes an event, if it has data.
  #take(line) {
    if (line === "") {
      const event = this.#data.length > 0 ? { name: this.#name || "message", data: this.#data.join("\n") } : null;
      this.#name = "";
      this.#data = [];
      return event;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    return null;
  }
}
