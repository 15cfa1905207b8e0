// The page: what is asked, what is shown, and what happens on each deed.

import * as client from "./client.js";
import { byId, el, foreign } from "./dom.js";
import { listen } from "./keys.js";
import { drawLines } from "./lines.js";
import { column, nameOf, nextGrade, showMark } from "./lists.js";

const EXAMPLES_AT_ONCE = 4;
const REFERENCE = { before: "after", after: "before", ranker: "after" };

const state = {
  about: null,
  example: 0,
  ranker: false,
  blind: false,
  order: ["before", "after"], // as shown, left to right; a blind comparison shuffles it
  hidden: false, // whether which list is which is hidden now
  found: null, // the last answer
  turn: 0, // of the last search: an earlier one's answer comes too late
};

// ---- searching

async function search(query) {
  query = query.trim();
  if (!query) return;
  byId("query").value = query;
  history.replaceState(null, "", `#${new URLSearchParams({ q: query })}`);
  const turn = ++state.turn;
  document.body.setAttribute("aria-busy", "true");
  tell("problem", "");
  const third = state.ranker && !state.blind;
  if (third && !state.found?.results.some((result) => result.system === "ranker")) tell("status", "Asking the ranker …");
  try {
    const found = await client.search(query, third ? ["before", "after", "ranker"] : ["before", "after"]);
    if (turn !== state.turn) return;
    state.found = found;
    state.hidden = state.blind;
    state.order = state.blind && Math.random() < 0.5 ? ["after", "before"] : ["before", "after"];
    show();
  } catch (error) {
    if (turn === state.turn) tell("problem", error.message);
  } finally {
    if (turn === state.turn) document.body.removeAttribute("aria-busy");
  }
}

// ---- showing

function show() {
  const { found, hidden } = state;
  const results = new Map(found.results.map((result) => [result.system, result]));
  const systems = [...state.order, ...(results.has("ranker") ? ["ranker"] : [])];
  const notes = { before: state.about.model, after: "distilled", ranker: "on top of After" };
  const columns = systems.map((system, side) =>
    column(results.get(system), {
      name: nameOf(system, hidden, side),
      hidden,
      note: notes[system],
      reference: REFERENCE[system],
      onMark: (card) => mark(card, nextGrade(card)),
    }),
  );
  const lists = byId("lists");
  lists.replaceChildren(byId("lines"), ...columns);
  lists.dataset.columns = systems.length;
  lists.hidden = false;
  byId("welcome").hidden = true;
  showTabs(systems);
  showGold();
  showVote();
  tell("status", summary(results));
  redraw();
}

function summary(results) {
  if (state.hidden) return "Blind: names, scores and judgements are hidden until you have voted.";
  const before = new Set(results.get("before").passages.map((passage) => passage.id));
  const after = results.get("after").passages;
  const fresh = after.filter((passage) => !before.has(passage.id)).length;
  const source = state.found.query_id ? "A query of the dataset. " : "";
  return `${source}${fresh} of the first ${after.length} passages are new after; ${after.length - fresh} were there before.`;
}

/** On a narrow screen one list is shown at a time, and tabs choose which. */
function showTabs(systems) {
  const tabs = systems.map((system, side) => {
    const tab = el("button", { type: "button", "data-system": system }, nameOf(system, state.hidden, side));
    tab.addEventListener("click", () => choose(system));
    return tab;
  });
  byId("tabs").replaceChildren(...tabs);
  byId("tabs").hidden = false;
  choose(state.hidden ? systems[0] : "after");
}

function choose(system) {
  for (const part of document.querySelectorAll("#tabs button, .column")) {
    const chosen = part.dataset.system === system;
    part.classList.toggle("chosen", chosen);
    if (part.matches("button")) part.setAttribute("aria-pressed", String(chosen));
  }
}

function showGold() {
  const gold = state.hidden ? [] : state.found.gold;
  byId("gold").hidden = !gold.length;
  byId("gold").replaceChildren(
    ...gold.map((passage) => {
      const ranks = ["before", "after", "ranker"]
        .filter((system) => system in passage.ranks)
        .map((system) => `${nameOf(system).toLowerCase()} ${passage.ranks[system] ?? "> 100"}`);
      const title = el("span", { class: "gold-title" }, foreign(passage.title || passage.id));
      return el("li", {}, "★ ", title, el("b", {}, ranks.join(" → ")));
    }),
  );
}

function redraw() {
  const columns = [...document.querySelectorAll(".column")];
  if (columns.length) drawLines(byId("lines"), columns);
}

function tell(id, message) {
  byId(id).textContent = message;
  if (id === "problem") byId(id).hidden = !message;
}

// ---- voting

function showVote() {
  const [left, right] = state.order;
  const buttons = document.querySelectorAll("#vote .choices button");
  const better = { left, right, same: "same" };
  for (const button of buttons) {
    const side = button.dataset.side;
    const chosen = !state.hidden && state.found.vote === better[side];
    button.setAttribute("aria-pressed", String(chosen));
    if (side !== "same") button.textContent = nameOf(better[side], state.hidden, side === "left" ? 0 : 1);
  }
  byId("vote").hidden = false;
  if (!state.found.vote || state.hidden) showCounts();
  else tell("vote-said", "You have voted on this query; another vote replaces it.");
}

function showCounts() {
  const { before, after, same } = state.about.votes;
  tell("vote-said", before + after + same ? `So far: after ${after}, before ${before}, same ${same}` : "");
}

async function vote(side) {
  const [left, right] = state.order;
  const better = { left, right, same: "same" }[side];
  const { found } = state;
  try {
    state.about.votes = await client.vote(found.query, better, shown(found), state.hidden);
  } catch (error) {
    tell("problem", error.message);
    return;
  }
  found.vote = better;
  if (state.found !== found) return; // another query is shown by now
  if (state.hidden) {
    state.hidden = false;
    show();
  }
  showVote();
  const { before, after, same } = state.about.votes;
  const said = better === "same" ? "both the same" : `${better} is better`;
  tell("vote-said", `Kept: ${said}. So far: after ${after}, before ${before}, same ${same}. Now mark (r) what is relevant.`);
}

function shown(found) {
  return Math.max(1, ...found.results.map((result) => result.passages.length));
}

async function mark(card, grade) {
  try {
    await client.mark(state.found.query, card.dataset.id, grade);
  } catch (error) {
    tell("problem", error.message);
    return;
  }
  for (const each of document.querySelectorAll(".hit")) if (each.dataset.id === card.dataset.id) showMark(each, grade);
  for (const result of state.found.results) {
    for (const passage of result.passages) if (passage.id === card.dataset.id) passage.mark = grade;
  }
}

// ---- examples and switches

function showExamples() {
  const { examples } = state.about;
  byId("examples").hidden = !examples.length;
  byId("more-examples").hidden = examples.length <= EXAMPLES_AT_ONCE;
  const some = Array.from({ length: Math.min(EXAMPLES_AT_ONCE, examples.length) }, (_, at) => examples[(state.example + at) % examples.length]);
  byId("example-list").replaceChildren(
    ...some.map((example) => {
      const button = el("button", { type: "button", class: "example" }, foreign(example.text));
      button.addEventListener("click", () => search(example.text));
      return el("li", {}, button);
    }),
  );
}

function otherExamples() {
  state.example = (state.example + EXAMPLES_AT_ONCE) % state.about.examples.length;
  showExamples();
}

function flip(name) {
  if (name === "ranker" && !state.about.ranker) return;
  state[name] = !state[name];
  if (name === "blind" && state.blind) state.ranker = false;
  if (name === "ranker" && state.ranker) state.blind = false;
  for (const each of ["ranker", "blind"]) byId(each).setAttribute("aria-pressed", String(state[each]));
  if (state.found) search(state.found.query);
}

function help() {
  byId("help").showModal();
}

async function start() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search(byId("query").value);
  });
  byId("ranker").addEventListener("click", () => flip("ranker"));
  byId("blind").addEventListener("click", () => flip("blind"));
  byId("help-button").addEventListener("click", help);
  byId("more-examples").addEventListener("click", otherExamples);
  for (const button of document.querySelectorAll("#vote .choices button")) {
    button.addEventListener("click", () => vote(button.dataset.side));
  }
  new ResizeObserver(redraw).observe(byId("lists"));
  listen({ help, mark, ranker: () => flip("ranker"), blind: () => flip("blind"), examples: otherExamples });
  try {
    state.about = await client.about();
  } catch (error) {
    tell("problem", error.message);
    return;
  }
  const { dataset, passages, workspace, ranker } = state.about;
  byId("ranker").hidden = !ranker;
  byId("about").replaceChildren(foreign(dataset), ` · ${passages.toLocaleString("en")} passages · `, foreign(workspace));
  showExamples();
  const asked = new URLSearchParams(location.hash.slice(1)).get("q");
  if (asked) search(asked);
}

start();
