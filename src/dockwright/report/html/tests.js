// The tests: searched, sorted, fifty to a page, each with its parts and its history.
const PAGE = 50;
const HISTORY = data.history;
const COLUMNS = [
  { id: "name", title: "Test", of: (test) => test.key, ascending: true },
  { id: "outcome", title: "Outcome", of: (test) => (FAILED.has(test.outcome) ? 0 : 1) + test.outcome, ascending: true },
  { id: "wall", title: "Time", of: (test) => test.wall },
  { id: "waiting", title: "Waiting", of: (test) => test.waiting },
  { id: "body", title: "Body", of: (test) => test.body },
  { id: "worker", title: "Worker", of: (test) => test.worker, ascending: true },
  { id: "history", title: "History", of: changeOf },
];
const listing = { found: tests, sort: "wall", ascending: false, page: 0, open: new Set() };

function changeOf(test) {
  const walls = pastOf(test).map(([, wall]) => wall).sort((a, b) => a - b);
  return walls.length ? test.wall / Math.max(1, walls[walls.length >> 1]) : 0;
}

function pastOf(test) {
  const flat = HISTORY.tests[test.index] || [];
  const past = [];
  for (let i = 0; i < flat.length; i += 3) past.push([flat[i], flat[i + 1], flat[i + 2]]);
  return past;
}

function refresh() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = byId("outcome").value, mode = byId("mode").value;
  const column = COLUMNS.find((each) => each.id === listing.sort);
  const direction = listing.ascending ? 1 : -1;
  listing.found = tests.filter((test) => (!outcome || test.outcome === outcome) && (!mode || test.lane === mode) &&
    words.every((word) => test.key.includes(word)));
  const keys = new Map(listing.found.map((test) => [test, column.of(test)]));
  listing.found.sort((a, b) => {
    const left = keys.get(a), right = keys.get(b);
    return direction * (left < right ? -1 : left > right ? 1 : 0) || a.index - b.index;
  });
  const pages = Math.max(1, Math.ceil(listing.found.length / PAGE));
  listing.page = Math.max(0, Math.min(pages - 1, listing.page));
  const sum = listing.found.reduce((total, test) => total + test.wall, 0);
  byId("found").textContent = listing.found.length + " of " + tests.length + " tests, " + seconds(sum) + " in total";
  byId("page").textContent = "page " + (listing.page + 1) + " of " + pages;
  byId("previous").disabled = listing.page === 0;
  byId("next").disabled = listing.page === pages - 1;
  for (const head of byId("test-table").querySelectorAll("th")) {
    if (head.dataset.id === listing.sort) head.setAttribute("aria-sort", listing.ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  byId("sort").value = listing.sort;
  const shown = listing.found.slice(listing.page * PAGE, listing.page * PAGE + PAGE);
  byId("test-table").tBodies[0].replaceChildren(...shown.flatMap(rows));
}

function rows(test) {
  const open = listing.open.has(test.index);
  const button = element("button", { type: "button", class: "name", "aria-expanded": String(open) }, test.name || test.file);
  button.addEventListener("click", () => toggle(test));
  const cell = (title, value, extra) => element("td", { class: extra || "" }, element("span", { class: "label" }, title + " "), value);
  const row = element("tr", { class: open ? "open" : "", "data-index": test.index },
    element("td", {}, button, element("span", { class: "file" }, test.file)),
    element("td", { class: FAILED.has(test.outcome) ? "bad" : "" }, test.outcome),
    cell("time", seconds(test.wall)),
    cell("waiting", test.waiting ? seconds(test.waiting) : "–", test.waiting ? "" : "empty"),
    cell("body", seconds(test.body)),
    cell("worker", test.worker),
    historyCell(test));
  return open ? [row, element("tr", { class: "detail" }, element("td", { colspan: String(COLUMNS.length) }, detail(test)))] : [row];
}

function historyCell(test) {
  const past = pastOf(test);
  if (!past.length) return element("td", { class: "history empty" }, "–");
  const title = "the last " + past.length + " runs: " + past.map(([, wall]) => seconds(wall)).join(", ");
  return element("td", { class: "history" }, spark([...past, [HISTORY.runs.length, test.wall, FAILED.has(test.outcome) ? 1 : 0]], title));
}

function spark(points, title) {
  const space = "http://www.w3.org/2000/svg";
  const most = Math.max(1, ...points.map(([, wall]) => wall));
  const last = Math.max(1, HISTORY.runs.length);
  const x = (place) => (2 + place / last * 96).toFixed(1);
  const y = (wall) => (23 - wall / most * 20).toFixed(1);
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 26");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", points.map(([place, wall], i) => (i ? "L" : "M") + x(place) + " " + y(wall)).join(""));
  path.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(path);
  for (const [place, wall, failed] of points) {
    if (!failed) continue;
    const dot = document.createElementNS(space, "circle");
    dot.setAttribute("cx", x(place)); dot.setAttribute("cy", y(wall)); dot.setAttribute("r", "2.5");
    svg.append(dot);
  }
  return svg;
}

function detail(test) {
  const box = element("div", {});
  const parts = [];
  eachSpan(test.spans, test.began, (span) => parts.push(span));
  const total = parts.reduce((sum, span) => sum + span.length, 0);
  box.append(element("div", { class: "bar", "aria-hidden": "true", style: "height:14px;margin:.3rem 0" }, ...parts.map((span) =>
    element("i", { style: "flex:" + span.length + " 0 0;background:var(--" + span.phase + ")" }))));
  const remarks = (span) => [span.flags & SETUP ? "set-up" : "", span.flags & TEARDOWN ? "tear-down" : "",
    span.flags & SHARED ? "shared" : "", span.flags & UNCERTAIN ? "estimated" : ""].filter(Boolean).join(", ");
  box.append(smallTable("Parts" + (test.stack ? ", on stack " + test.stack : "") + " (" + test.lane + ")", ["Part", "Time", "Share", ""], parts.map((span) =>
    [[dot(span.phase), span.phase + (span.name ? " " + span.name : "")], seconds(span.length), percent(span.length, total), remarks(span)])));
  const past = pastOf(test);
  if (past.length) {
    box.append(smallTable("Earlier runs", ["Run", "Time", "Now / then"], past.slice(-8).reverse().map(([place, wall, failed]) =>
      [new Date(HISTORY.runs[place] * 1000).toLocaleString() + (failed ? ", failed" : ""), seconds(wall), wall ? (test.wall / wall).toFixed(2) + " ×" : "–"])));
  }
  return box;
}

function toggle(test) {
  if (!listing.open.delete(test.index)) listing.open.add(test.index);
  refresh();
  focusTest(test);
}

function focusTest(test) {
  const row = byId("test-table").querySelector('tr[data-index="' + test.index + '"]');
  if (row) row.querySelector("button").focus();
}

function openTest(test) {
  byId("search").value = ""; byId("outcome").value = ""; byId("mode").value = "";
  refresh();
  listing.page = Math.floor(listing.found.indexOf(test) / PAGE);
  listing.open.add(test.index);
  refresh();
  focusTest(test);
}

function sortBy(id, ascending) {
  listing.sort = id;
  listing.ascending = ascending;
  listing.page = 0;
  refresh();
}

function turn(by) {
  listing.page += by;
  refresh();
  byId("tests").focus({ preventScroll: true });
  byId("found").scrollIntoView({ block: "start" });
}

function showTests() {
  const head = byId("test-table").tHead.rows[0];
  for (const column of COLUMNS) {
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => sortBy(column.id, column.id === listing.sort ? !listing.ascending : !!column.ascending));
    head.append(element("th", { scope: "col", class: column.id, "data-id": column.id }, button));
    const words = { wall: "Time (slowest first)", waiting: "Waiting (longest first)", history: "Change from earlier runs" };
    byId("sort").append(element("option", { value: column.id }, words[column.id] || column.title));
  }
  for (const [id, field] of [["outcome", "outcome"], ["mode", "lane"]]) {
    for (const value of [...new Set(tests.map((test) => test[field]))].sort()) {
      byId(id).append(element("option", { value }, value));
    }
    byId(id).addEventListener("change", () => { listing.page = 0; refresh(); });
  }
  byId("search").addEventListener("input", () => { listing.page = 0; refresh(); });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("sort").addEventListener("change", (event) => {
    sortBy(event.target.value, !!COLUMNS.find((column) => column.id === event.target.value).ascending);
  });
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  refresh();
}
