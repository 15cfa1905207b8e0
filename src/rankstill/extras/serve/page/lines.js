// Lines between neighbouring lists: one for each passage that both show, a stub for one that only one of them shows.

import { svg } from "./dom.js";

const STUB = 26;

/** Draw them anew over the lists as they lie now. */
export function drawLines(canvas, columns) {
  const frame = canvas.getBoundingClientRect(); // it scrolls with the lists
  canvas.replaceChildren();
  for (let at = 0; at + 1 < columns.length; at++) drawBetween(canvas, frame, columns[at], columns[at + 1]);
}

function drawBetween(canvas, frame, left, right) {
  const from = ends(left, frame, "right");
  const to = ends(right, frame, "left");
  for (const [id, start] of from) {
    const end = to.get(id);
    if (end) canvas.append(line(start, end, movement(start, end)));
    else canvas.append(stub(start, 1));
  }
  for (const [id, end] of to) if (!from.has(id)) canvas.append(stub(end, -1));
}

function ends(column, frame, side) {
  const found = new Map();
  for (const card of column.querySelectorAll(".hit")) {
    const box = card.getBoundingClientRect();
    const head = card.querySelector(".head").getBoundingClientRect();
    found.set(card.dataset.id, {
      x: box[side] - frame.left,
      y: head.top + head.height / 2 - frame.top,
      rank: Number(card.dataset.rank),
      gold: card.classList.contains("gold"),
    });
  }
  return found;
}

function movement(start, end) {
  if (end.rank < start.rank) return "up";
  return end.rank > start.rank ? "down" : "same";
}

function line(start, end, kind) {
  const middle = (start.x + end.x) / 2;
  const path = `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`;
  return svg("path", { d: path, class: `line ${kind}${start.gold || end.gold ? " gold" : ""}` });
}

function stub(end, direction) {
  const x = end.x + direction * STUB;
  return svg(
    "g",
    { class: `stub ${direction > 0 ? "down" : "up"}${end.gold ? " gold" : ""}` },
    svg("path", { d: `M${end.x} ${end.y}H${x}`, class: "line" }),
    svg("circle", { cx: x, cy: end.y, r: 3 }),
  );
}
