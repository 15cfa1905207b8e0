// The lists: a column for each system, a card for each passage.

import { el, foreign } from "./dom.js";

const SNIPPET = 320;
const DEEPEST = 100;

/** A system's column. `note`: what it is. `moved`: a badge that says how a passage moved, by its rank here. */
export function column(result, { name, hidden, note, moved, onMark }) {
  const list = el("ol", { class: "hits" });
  for (const [at, passage] of result.passages.entries()) {
    list.append(card(passage, at + 1, result.scores, { hidden, moved, onMark }));
  }
  const head = el("div", { class: "column-head" }, el("h2", { title: name }, name));
  if (!hidden) {
    head.append(el("span", { class: "time" }, `${result.milliseconds.toFixed(0)} ms`));
    for (const line of [note, `Score: ${result.scores}`]) head.append(el("p", { class: "quiet note", title: line }, line));
  }
  const label = `${name}: ${result.passages.length} passages`;
  return el("section", { class: "column", "data-system": result.system, "aria-label": label }, head, list);
}

/** Set what a card says of its mark. */
export function showMark(cardElement, grade) {
  const button = cardElement.querySelector(".mark");
  button.dataset.grade = grade ?? "none";
  button.textContent = grade === 1 ? "✓ relevant" : grade === 0 ? "✗ not relevant" : "mark";
}

/** The grade that follows one in the cycle: none, relevant, not relevant. */
export function nextGrade(cardElement) {
  const now = cardElement.querySelector(".mark").dataset.grade;
  return now === "none" ? 1 : now === "1" ? 0 : null;
}

/** Open a passage, or close it. */
export function toggle(cardElement) {
  const button = cardElement.querySelector(".title");
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  const body = cardElement.querySelector(".text bdi");
  body.textContent = open ? body.dataset.full : body.dataset.short;
}

function card(passage, rank, scores, { hidden, moved, onMark }) {
  const gold = passage.relevant && !hidden;
  const title = passage.title || firstWords(passage.text);
  const text = foreign("");
  text.dataset.full = passage.cut ? `${passage.text} …` : passage.text;
  text.dataset.short = passage.text.length > SNIPPET ? `${passage.text.slice(0, SNIPPET)} …` : passage.text;
  text.textContent = text.dataset.short;
  const button = el("button", { type: "button", class: "title", "aria-expanded": "false" }, foreign(title));
  const mark = el("button", { type: "button", class: "mark", "aria-label": `Mark passage ${rank}`, "data-grade": "none" });
  const item = el(
    "li",
    { class: gold ? "hit gold" : "hit", "data-id": passage.id, "data-rank": rank },
    el("span", { class: "rank", "aria-hidden": "true" }, String(rank)),
    el(
      "div",
      { class: "body" },
      el("div", { class: "head" }, el("h3", {}, button)),
      el("p", { class: "text" }, text),
      el(
        "p",
        { class: "facts" },
        hidden ? null : moved(passage, rank),
        gold ? el("span", { class: "badge relevant" }, "★ judged relevant") : null,
        hidden ? null : el("span", { class: "score", title: scores }, `score ${score(passage.score)}`),
        el("span", { class: "id" }, "id ", foreign(passage.id)),
        mark,
      ),
    ),
  );
  button.addEventListener("click", () => toggle(item));
  mark.addEventListener("click", () => onMark(item));
  showMark(item, passage.mark);
  mark.removeAttribute("aria-label");
  return item;
}

function score(value) {
  return value.toFixed(Math.abs(value) < 10 ? 3 : 2);
}

function firstWords(text) {
  return text.split(/\s+/, 12).join(" ");
}

/** How far a passage came from another system's list to its rank in this one. */
export function movedFrom({ name, title }) {
  return (passage, rank) => {
    const there = passage.ranks[name];
    if (there === rank) return badge("same", "=", `at the same rank in ${title}`);
    if (there === null) return badge("up", `▲ from > ${DEEPEST}`, `not among the first ${DEEPEST} in ${title}`);
    const up = there > rank;
    return badge(up ? "up" : "down", `${up ? "▲" : "▼"} ${Math.abs(there - rank)}`, `${up ? "up" : "down"} from rank ${there} in ${title}`);
  };
}

/** Where a passage of this list went in another system's. */
export function movedTo({ name, title }) {
  return (passage, rank) => {
    const there = passage.ranks[name];
    if (there === rank) return badge("same", "=", `at the same rank in ${title}`);
    return badge("goes", `→ ${there ?? `> ${DEEPEST}`}`, there ? `at rank ${there} in ${title}` : `not among the first ${DEEPEST} in ${title}`);
  };
}

function badge(kind, sign, words) {
  return el(
    "span",
    { class: `badge ${kind}`, title: words },
    el("span", { "aria-hidden": "true" }, sign),
    el("span", { class: "hidden" }, words),
  );
}
