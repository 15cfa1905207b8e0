// The page: what is asked, what is shown, and what happens on each deed.

import * as client from "./client.js";
import { byId, el, foreign } from "./dom.js";
import { listen } from "./keys.js";
import { drawLines } from "./lines.js";
import { column, movedFrom, movedTo, nextGrade, showMark } from "./lists.js";

const EXAMPLES_AT_ONCE = 4;
const VOTED_ON = ["before", "after"];

const state = {
  about: null,
  example: 0,
  chosen: VOTED_ON, // systems to stand side by side, in the order in which the server names them
  blind: false,
  order: VOTED_ON, // systems as shown, left to right; a blind comparison shuffles them
  hidden: false, // whether which list is which is hidden now
  found: null, // the last answer
  turn: 0, // of the last search: an earlier one's answer comes too late
};

const offered = (system) => state.about.systems.find((each) => each.name === system);

/** The systems whose lists are to be shown now. */
const wanted = () => (state.blind ? VOTED_ON : state.chosen);

/** What a list is called; in a blind comparison only its side. */
function nameOf(system) {
  return state.hidden ? ["Left", "Right"][state.order.indexOf(system)] : offered(system).title;
}

// ---- searching

/** The page's address for a query, or for none: to be kept, sent on, and gone back to. */
function address(query) {
  return query ? `?${new URLSearchParams({ q: query, systems: state.chosen })}` : location.pathname;
}

/** What an address asks for; links made before queries stood in the address proper have them behind a #. */
function asked() {
  return new URLSearchParams(location.search || location.hash.slice(1));
}

/** Search, and put it into the browser's history, unless it is where the history already stands. */
async function search(query, { remember = true } = {}) {
  query = query.trim();
  const turn = ++state.turn;
  const there = new URL(address(query), location.href).href;
  if (remember && there !== location.href) history.pushState(null, "", there);
  byId("query").value = query;
  document.title = query ? `${query} · Rankstill` : "Rankstill: before and after";
  tell("problem", "");
  if (!query) {
    clear();
    byId("welcome").hidden = false;
    tell("status", "");
    document.body.removeAttribute("aria-busy");
    return;
  }
  const systems = wanted();
  document.body.setAttribute("aria-busy", "true");
  tell("status", "Searching …"); // what is asked for the first time is loaded now
  try {
    const found = await client.search(query, systems);
    if (turn !== state.turn) return;
    state.found = found;
    state.hidden = state.blind;
    state.order = state.blind && Math.random() < 0.5 ? [...systems].reverse() : systems;
    show();
  } catch (error) {
    if (turn !== state.turn) return;
    clear();
    tell("problem", error.message);
    tell("status", "");
  } finally {
    if (turn === state.turn) document.body.removeAttribute("aria-busy");
  }
}

/** Take away what an earlier search found. */
function clear() {
  state.found = null;
  state.hidden = false;
  const lists = byId("lists");
  lists.replaceChildren(byId("lines"));
  byId("lines").replaceChildren();
  for (const id of ["lists", "tabs", "gold", "vote"]) byId(id).hidden = true;
  byId("tabs").replaceChildren();
  byId("gold").replaceChildren();
}

/** Show what the address asks for, as after Back and Forward. */
function follow() {
  choose(asked().get("systems")?.split(",") ?? VOTED_ON);
  search(asked().get("q") ?? "", { remember: false });
}

// ---- showing

function show() {
  const { found, hidden, order } = state;
  const results = new Map(found.results.map((result) => [result.system, result]));
  const columns = order.map((system) =>
    column(results.get(system), {
      name: nameOf(system),
      hidden,
      note: system === "before" ? `${offered(system).what}: ${state.about.model}` : offered(system).what,
      moved: movement(system),
      onMark: (card) => mark(card, nextGrade(card)),
    }),
  );
  const lists = byId("lists");
  lists.replaceChildren(byId("lines"), ...columns);
  lists.dataset.columns = columns.length;
  lists.hidden = false;
  byId("welcome").hidden = true;
  showTabs();
  showGold();
  showVote();
  tell("status", summary());
  redraw();
}

/** How passages moved on the way to a system's list: from the one before it, and of the first, to the second. */
function movement(system) {
  const systems = state.found.results.map((result) => result.system);
  const at = systems.indexOf(system);
  return at ? movedFrom(offered(systems[at - 1])) : movedTo(offered(systems[1]));
}

function summary() {
  if (state.hidden) return "Blind: names, scores and judgements are hidden until you have voted.";
  const [first, second] = state.found.results;
  const known = new Set(first.passages.map((passage) => passage.id));
  const fresh = second.passages.filter((passage) => !known.has(passage.id)).length;
  const source = state.found.query_id ? "A query of the dataset. " : "";
  const shared = second.passages.length - fresh;
  if (!fresh && shared === first.passages.length) {
    const alike = second.passages.every((passage, row) => passage.id === first.passages[row].id);
    return `${source}${nameOf(first.system)} and ${nameOf(second.system)} show the same ${shared} passages, in ${alike ? "the same" : "another"} order.`;
  }
  return `${source}${nameOf(second.system)} shows ${shared} of the passages that ${nameOf(first.system)} shows, and ${fresh} others.`;
}

/** On a narrow screen one list is shown at a time, and tabs choose which. */
function showTabs() {
  const tabs = state.order.map((system) => {
    const tab = el("button", { type: "button", "data-system": system }, nameOf(system));
    tab.addEventListener("click", () => bringUp(system));
    return tab;
  });
  byId("tabs").replaceChildren(...tabs);
  byId("tabs").hidden = false;
  bringUp(!state.hidden && state.order.includes("after") ? "after" : state.order[0]);
}

function bringUp(system) {
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
      const ranks = state.order.map((system) => `${nameOf(system).toLowerCase()} ${passage.ranks[system] ?? "> 100"}`);
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

/** The two lists that are voted on, left to right. */
function sides() {
  return state.order.filter((system) => VOTED_ON.includes(system));
}

function showVote() {
  const [left, right] = sides();
  byId("vote").hidden = !right;
  if (!right) return;
  const buttons = document.querySelectorAll("#vote .choices button");
  const better = { left, right, same: "same" };
  for (const button of buttons) {
    const side = button.dataset.side;
    const chosen = !state.hidden && state.found.vote === better[side];
    button.setAttribute("aria-pressed", String(chosen));
    if (side !== "same") button.textContent = nameOf(better[side]);
  }
  if (!state.found.vote || state.hidden) showCounts();
  else tell("vote-said", "You have voted on this query; another vote replaces it.");
}

function showCounts() {
  const { before, after, same } = state.about.votes;
  tell("vote-said", before + after + same ? `So far: after ${after}, before ${before}, same ${same}` : "");
}

async function vote(side) {
  const [left, right] = sides();
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

/** Have these systems stand side by side: those of them that the server offers, if there are two. */
function choose(systems) {
  const known = state.about.systems.map((system) => system.name).filter((name) => systems.includes(name));
  if (known.length > 1) state.chosen = known;
  showChoice();
}

function showSystems() {
  const buttons = state.about.systems.map((system, at) => {
    const button = el("button", { type: "button", title: system.what, "data-system": system.name }, `${system.title} `, el("kbd", {}, String(at + 1)));
    button.addEventListener("click", () => flipSystem(at));
    return button;
  });
  byId("systems").replaceChildren(...buttons);
  byId("systems").hidden = buttons.length <= VOTED_ON.length;
}

function showChoice() {
  for (const button of byId("systems").children) {
    button.setAttribute("aria-pressed", String(wanted().includes(button.dataset.system)));
  }
  byId("blind").setAttribute("aria-pressed", String(state.blind));
}

function flipSystem(at) {
  const name = state.about.systems[at]?.name;
  if (!name) return;
  const shown = wanted();
  const left = shown.includes(name) ? shown.filter((each) => each !== name) : [...shown, name];
  if (left.length < 2) {
    tell("status", "At least two lists must be shown: add another before you hide one of them.");
    return;
  }
  state.blind = false;
  choose(left);
  if (state.found) search(state.found.query);
}

function flipBlind() {
  state.blind = !state.blind;
  showChoice();
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
  byId("blind").addEventListener("click", flipBlind);
  byId("help-button").addEventListener("click", help);
  byId("more-examples").addEventListener("click", otherExamples);
  for (const button of document.querySelectorAll("#vote .choices button")) {
    button.addEventListener("click", () => vote(button.dataset.side));
  }
  new ResizeObserver(redraw).observe(byId("lists"));
  listen({ help, mark, system: flipSystem, blind: flipBlind, examples: otherExamples });
  try {
    state.about = await client.about();
  } catch (error) {
    tell("problem", error.message);
    return;
  }
  const { dataset, passages, workspace } = state.about;
  byId("about").replaceChildren(foreign(dataset), ` · ${passages.toLocaleString("en")} passages · `, foreign(workspace));
  showSystems();
  showExamples();
  follow();
  addEventListener("popstate", follow);
}

start();
