// Texts from numbers, and elements from texts: nothing of the run is ever read as HTML.
function seconds(ticks) { return duration(ticks / TICKS); }

function duration(s) {
  if (s === 0) return "0 s";
  if (s < 0.001) return "< 1 ms";
  if (s < 0.9995) return Math.round(s * 1000) + " ms";
  if (s < 100) return s.toFixed(2) + " s";
  const minutes = Math.floor(s / 60);
  return minutes + " min " + Math.floor(s - minutes * 60) + " s";
}

function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) { count /= 1024; at++; }
  return (at && count < 100 ? count.toFixed(1) : Math.round(count)) + " " + units[at];
}

const percent = (part, whole) => (whole ? (100 * part / whole).toFixed(1) : "0.0") + " %";
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

function element(tag, options, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options || {})) {
    if (name === "class") made.className = value;
    else if (name === "style") made.style.cssText = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const dot = (phase) => element("span", { class: "dot", style: "background:var(--" + phase + ")", "aria-hidden": "true" });

function smallTable(caption, head, rows, extra) {
  const row = (cells, tag) => element("tr", {}, ...cells.map((cell) =>
    element(tag, tag === "th" ? { scope: "col" } : {}, ...(Array.isArray(cell) ? cell : [cell]))));
  return element("div", { class: "wide-scroll" }, element("table", { class: "small " + (extra || "") },
    element("caption", {}, caption),
    element("thead", {}, row(head, "th")),
    element("tbody", {}, ...rows.map((cells) => row(cells, "td")))));
}
