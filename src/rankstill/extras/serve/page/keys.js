// Keyboard first: every deed of the page by one key.

import { byId } from "./dom.js";
import { nextGrade } from "./lists.js";

/** Listen; `deeds` are what the page can do. */
export function listen(deeds) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const deed = event.target.closest("input") ? inField(event) : onPage(event, deeds);
    if (deed) {
      event.preventDefault();
      deed();
    }
  });
}

function inField(event) {
  if (event.key === "Escape") return () => event.target.blur();
  if (event.key === "ArrowDown") return () => focusCard(0, 0);
  return null;
}

function onPage(event, deeds) {
  const choices = [...document.querySelectorAll("#vote .choices button")];
  const choice = choices.indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (choice >= 0 && step) return () => choices[Math.min(2, Math.max(0, choice + step))].focus();
  const card = document.activeElement.closest?.(".hit");
  const keys = {
    "/": () => {
      byId("query").focus();
      byId("query").select();
    },
    "?": deeds.help,
    b: deeds.blind,
    e: deeds.examples,
    v: () => choices[1].focus(),
    r: () => card && deeds.mark(card, nextGrade(card)),
    ArrowDown: () => move(card, 1),
    ArrowUp: () => move(card, -1),
    ArrowLeft: () => cross(card, -1),
    ArrowRight: () => cross(card, 1),
  };
  if (/^[1-9]$/.test(event.key)) return () => deeds.system(Number(event.key) - 1);
  return Object.hasOwn(keys, event.key) ? keys[event.key] : null;
}

function columns() {
  return [...document.querySelectorAll(".column")].filter((column) => column.offsetParent !== null);
}

function focusCard(column, row) {
  const cards = columns()[column]?.querySelectorAll(".hit");
  if (!cards?.length) return;
  const card = cards[Math.min(cards.length - 1, Math.max(0, row))];
  card.querySelector(".title").focus();
  card.scrollIntoView({ block: "nearest" });
}

function place(card) {
  const column = columns().findIndex((each) => each.contains(card));
  return [column, [...columns()[column].querySelectorAll(".hit")].indexOf(card)];
}

function move(card, step) {
  if (!card) return focusCard(0, 0);
  const [column, row] = place(card);
  if (row + step < 0) return byId("query").focus();
  return focusCard(column, row + step);
}

/** To the neighbouring list: the same passage if it is there, else the same rank. */
function cross(card, step) {
  if (!card) return focusCard(0, 0);
  const [column, row] = place(card);
  const there = columns()[column + step];
  if (!there) return undefined;
  const rows = [...there.querySelectorAll(".hit")];
  const same = rows.findIndex((each) => each.dataset.id === card.dataset.id);
  return focusCard(column + step, same >= 0 ? same : row);
}
