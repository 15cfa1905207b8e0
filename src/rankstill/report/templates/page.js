"use strict";
// All text from data goes through textContent: nothing in it is ever read as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SHORT = 200; // characters of a passage that are shown at once, about
const find = (id) => document.getElementById(id);
let chosen = 0; // the system that is compared with the retriever before: its place among data.systems

function make(name, className, ...inside) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

function told(text) {
  const made = make("bdi", "", text);
  made.dir = "auto";
  return made;
}

const signed = (value) => (value > 0 ? "+" : "\u2212") + Math.abs(value).toFixed(3);
const change = (value) => (value === 0 ? "0.000" : signed(value));
const direction = (value) => (value > 0 ? "gained" : value < 0 ? "lost" : "quiet");
const gain = (query, system = chosen) => Math.round((query.after[system] - query.before) * 1e4) / 1e4;
const rank = (place) => (place === 0 ? "not in the first 100" : "rank " + place);

function startTheme() {
  const button = find("theme");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  button.hidden = false;
  label();
}

function passage(entry, other) {
  const [place, gold, otherRank] = entry;
  const { title, text, cut, id } = data.passages[place];
  const item = make("li", gold ? "gold" : "");
  if (gold) item.append(make("span", "badge", "gold"), " ");
  if (title) item.append(make("strong", "", told(title)), " ");
  if (other) item.append(make("span", "quiet", `${other}: ${rank(otherRank)}`), " ");
  const words = told("");
  text.forEach((piece, index) => words.append(index % 2 ? make("mark", "", piece) : piece));
  const body = make("div", "", words);
  if (cut) body.append(make("span", "cut", ` … cut, ${cut.toLocaleString("en")} characters in all`));
  item.append(body);
  if (words.textContent.length > SHORT) {
    body.className = "clamped";
    const more = make("button", "more", "more");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.addEventListener("click", () => {
      const isClamped = body.classList.toggle("clamped");
      more.textContent = isClamped ? "more" : "less";
      more.setAttribute("aria-expanded", String(!isClamped));
    });
    item.append(more);
  }
  item.title = "passage " + id;
  return item;
}

function column(heading, className, entries, other) {
  const list = make("ol", "passages");
  list.append(...entries.map((entry) => passage(entry, other)));
  return make("div", className, make("h4", "", heading), entries.length ? list : make("p", "quiet", "Nothing was found."));
}

function describe(query) {
  const parts = [make("h3", "", told(query.text))];
  if (query.cut) parts[0].append(make("span", "cut", ` … cut, ${query.cut.toLocaleString("en")} characters in all`));
  const facts = make("p", "facts", `${data.measure} ${query.before.toFixed(3)} → ${query.after[chosen].toFixed(3)} `);
  facts.append(make("strong", direction(gain(query)), change(gain(query))), make("span", "quiet", " · query "), told(query.id));
  parts.push(facts);
  if (query.answers.length) {
    const answers = make("p", "", "Accepted answers: ");
    query.answers.forEach((answer, index) => answers.append(index ? ", " : "", make("mark", "", told(answer))));
    parts.push(answers);
  }
  const gold = make("p", "", query.gold.length ? "Gold: " : "No passage is known to be relevant.");
  query.gold.forEach(([id, before, ...after], index) => {
    gold.append(index ? "; " : "", "passage ", told(id), `, ${rank(before)} → ${rank(after[chosen])}`);
  });
  if (query.golds > query.gold.length) gold.append(`; and ${query.golds - query.gold.length} more`);
  parts.push(gold);
  const [before, ...after] = query.lists;
  const old = before.map(([place, isGold, ...ranks]) => [place, isGold, ranks[chosen]]);
  const name = data.systems[chosen];
  parts.push(make("div", "columns",
    column("Before", "old", old, "after"),
    column(name[0].toUpperCase() + name.slice(1), "new", after[chosen], "before")));
  if (query.said) {
    parts.push(column("What the LLM said", "said", query.said, ""));
  } else {
    parts.push(make("p", "quiet", "What the LLM said: it was not asked about this query, which measures and did not teach."));
  }
  return parts;
}

function startExplorer() {
  const { queries } = data;
  const article = find("query"), list = find("list"), which = find("which"), holds = find("holds");
  const dots = [...document.querySelectorAll("#plot .dot[data-query]")];
  let open = -1;

  const kept = () => {
    const wanted = holds.value.trim().toLowerCase();
    const kinds = {
      all: () => true,
      better: (query) => gain(query) > 0,
      worse: (query) => gain(query) < 0,
      same: (query) => gain(query) === 0,
      missed: (query) => query.before === 0 && query.after[chosen] === 0,
    };
    return [...queries.keys()].filter(
      (key) => kinds[which.value](queries[key]) && queries[key].text.toLowerCase().includes(wanted),
    ).sort((a, b) => gain(queries[b]) - gain(queries[a]));
  };

  function show(key, focus) {
    open = key;
    article.replaceChildren(...describe(queries[key]));
    const steps = make("p", "steps");
    for (const [name, by] of [["Previous", -1], ["Next", 1]]) {
      const shown = kept();
      const here = shown.indexOf(key);
      const next = here < 0 ? (by > 0 ? shown[0] : undefined) : shown[here + by];
      const button = make("button", "", name);
      button.type = "button";
      button.disabled = next === undefined;
      button.addEventListener("click", () => show(next, true));
      steps.append(button);
    }
    article.append(steps);
    for (const dot of dots) {
      const isOpen = Number(dot.dataset.query) === key;
      dot.classList.toggle("open", isOpen);
      if (isOpen) rove(dot);
    }
    for (const button of list.querySelectorAll("button")) {
      if (Number(button.dataset.query) === key) {
        button.setAttribute("aria-current", "true");
        const top = button.offsetTop - list.offsetTop;
        if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - 40) list.scrollTop = top - 60;
      } else {
        button.removeAttribute("aria-current");
      }
    }
    if (focus) {
      article.focus({ preventScroll: true });
      article.scrollIntoView({ block: "nearest" });
      if (article.getBoundingClientRect().top > innerHeight - 200) article.scrollIntoView();
    }
  }

  // One dot of each plot is in the order of tabs; arrows move among the others.
  function rove(dot) {
    for (const each of dots) if (each.ownerSVGElement === dot.ownerSVGElement) each.setAttribute("tabindex", "-1");
    dot.setAttribute("tabindex", "0");
  }

  const at = (dot) => [dot.cx.baseVal.value, dot.cy.baseVal.value];

  function nearest(dot, key) {
    const [x, y] = at(dot);
    const sideways = key === "ArrowLeft" || key === "ArrowRight";
    const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    let best = null, least = Infinity;
    for (const other of dots) {
      if (other.ownerSVGElement !== dot.ownerSVGElement || other === dot) continue;
      const [dx, dy] = [(at(other)[0] - x) * sign, (at(other)[1] - y) * sign];
      const along = sideways ? dx : dy, across = Math.abs(sideways ? dy : dx);
      if (along <= 0.5 || (!sideways && across > 0.5)) continue;
      const distance = along * 4 + across;
      if (distance < least) [best, least] = [other, distance];
    }
    return best;
  }

  for (const plot of document.querySelectorAll("#plot svg")) {
    plot.setAttribute("role", "group");
    plot.addEventListener("click", (event) => {
      const dot = event.target.closest(".dot[data-query]");
      if (dot) show(Number(dot.dataset.query), true);
    });
    plot.addEventListener("keydown", (event) => {
      const dot = event.target.closest(".dot[data-query]");
      if (!dot) return;
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        show(Number(dot.dataset.query), true);
      } else if (event.key.startsWith("Arrow")) {
        event.preventDefault();
        const next = nearest(dot, event.key);
        if (next) { rove(next); next.focus(); }
      }
    });
    const first = plot.querySelector(".dot[data-query]");
    if (first) rove(first);
  }
  for (const dot of dots) {
    const query = queries[Number(dot.dataset.query)];
    const label = `${change(gain(query, dot.closest("[data-system]").dataset.system))}: ${query.text.slice(0, 100)}`;
    dot.setAttribute("role", "button");
    dot.setAttribute("aria-label", label);
    if (!dot.firstChild) {
      const title = document.createElementNS(dot.namespaceURI, "title");
      title.textContent = label;
      dot.append(title);
    }
    if (!dot.hasAttribute("tabindex")) dot.setAttribute("tabindex", "-1");
  }

  function fill() {
    const shown = kept();
    find("count").textContent = shown.length
      ? `${shown.length} of ${queries.length}, greatest gain first`
      : `No query of ${queries.length} matches both filters.`;
    list.replaceChildren(...shown.map((key) => {
      const query = queries[key];
      const button = make("button", "", make("span", `number ${direction(gain(query))}`, change(gain(query))), told(query.text));
      button.type = "button";
      button.dataset.query = key;
      if (key === open) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(key, true));
      return make("li", "", button);
    }));
    if (!shown.length) {
      const reset = make("button", "", "Show all queries");
      reset.type = "button";
      reset.addEventListener("click", () => { which.value = "all"; holds.value = ""; fill(); which.focus(); });
      list.replaceChildren(make("li", "nothing", make("p", "", "No query matches. "), reset));
    }
  }
  if (find("choice")) {
    find("choice").hidden = false;
    find("system").addEventListener("change", (event) => {
      chosen = Number(event.target.value);
      for (const plot of find("plot").children) plot.hidden = Number(plot.dataset.system) !== chosen;
      fill();
      show(open, false);
    });
  }
  which.addEventListener("change", fill);
  holds.addEventListener("input", fill);
  find("how").textContent = "Click one, or pick a query from the list, to see what was found.";
  find("explorer").hidden = false;
  fill();
  const most = [...queries.keys()].reduce((a, b) => (Math.abs(gain(queries[b])) > Math.abs(gain(queries[a])) ? b : a));
  show(most, false);
}

startTheme();
if (data.queries && data.queries.length) startExplorer();
