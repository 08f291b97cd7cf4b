import { name } from "./format.js";

// strip draws who led when into an element, from span milliseconds ago until now: a bar for each term, a cut where nobody
// led, a notch for a handover, hatches for what was not seen. It changes only what is different from the last time.
export function strip(el, election, store, span, names = false) {
  const now = store.clock();
  const pieces = [];
  const add = (kind, from, to, label) => {
    if (to <= now - span || from >= now) return;
    const left = Math.max(0, (from - (now - span)) / span);
    const right = Math.min(1, (to - (now - span)) / span);
    pieces.push({ kind, left: left * 100, width: (right - left) * 100, label });
  };
  for (const [i, t] of election.history.entries()) {
    add(t.odd ? "led odd" : "led", t.from, t.to ?? store.now(), names ? name(t) : "");
    const before = election.history[i + 1];
    if (!before) continue;
    if (t.how === "handover") add("handed", t.from, t.from + 1);
    else if (t.how === "gap") add("cut", before.to, t.from);
    else add("blind", before.to, Math.max(t.from, before.to + 1));
  }
  if (!election.leader && election.vacantSince !== null) add("cut", election.vacantSince, store.now());
  for (const b of store.blind) add("blind", b.from, b.to ?? now);
  draw(el, pieces, names ? el.clientWidth / 100 : 0);
}

// draw makes the pieces; a percent of the width is so many pixels.
function draw(el, pieces, percent) {
  while (el.children.length > pieces.length) el.lastElementChild.remove();
  for (const [i, p] of pieces.entries()) {
    const piece = el.children[i] ?? el.appendChild(document.createElement("i"));
    if (piece.className !== p.kind) piece.className = p.kind;
    const left = `${p.left.toFixed(2)}%`;
    const width = `${p.width.toFixed(2)}%`;
    if (piece.style.left !== left) piece.style.left = left;
    if (piece.style.width !== width) piece.style.width = width;
    const label = p.width * percent > 56 ? (p.label ?? "") : "";
    if (piece.textContent !== label) piece.textContent = label;
  }
}
