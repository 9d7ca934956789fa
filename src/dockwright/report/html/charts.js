// Memory and processor use over time, as lines; and the peaks as a table.
const LINE_COLOURS = ["fixture", "queue", "call", "reset", "start", "lease", "other", "cleanup"];
const charts = [];

function rates(line) {
  const points = [];
  for (let i = 1; i < line.at.length; i++) {
    const elapsed = (line.at[i] - line.at[i - 1]) / TICKS;
    if (line.cpu[i] === null || line.cpu[i - 1] === null || elapsed <= 0) continue;
    points.push([line.at[i], Math.max(0, line.cpu[i] - line.cpu[i - 1]) / elapsed]);
  }
  return points;
}

function showUse() {
  const body = byId("use-body");
  if (!data.series.length && !data.stacks.some((stack) => stack.units.length)) {
    body.append(element("p", { class: "muted" }, "No samples were taken in this run."));
    return;
  }
  const lines = data.series.map((line) => ({
    subject: line.subject, shown: true, cpu: rates(line),
    memory: line.at.map((at, i) => [at, line.memory[i]]).filter(([, value]) => value !== null).map(([at, value]) => [at, value * 1024]),
  }));
  const peak = (line) => line.memory.reduce((most, [, value]) => Math.max(most, value), 0);
  lines.sort((a, b) => peak(b) - peak(a));
  const shown = lines.slice(0, LINE_COLOURS.length);
  shown.forEach((line, i) => { line.colour = LINE_COLOURS[i]; });
  if (shown.length) {
    const more = lines.length - shown.length;
    if (more > 0) body.append(element("p", { class: "muted" }, "Showing the " + shown.length + " with the most memory, out of " + lines.length + "."));
    body.append(element("div", { class: "series", role: "group", "aria-label": "Lines shown" }, ...shown.map(lineButton)));
    body.append(chart("Memory", shown, "memory", bytes), chart("CPU", shown, "cpu", (cores) => cores.toFixed(2) + (Math.abs(cores - 1) < 0.005 ? " core" : " cores")));
    drawCharts();
  }
  const units = data.stacks.flatMap((stack) => stack.units.map((unit) => [stack.project + "/" + unit.unit, unit]));
  if (units.length) {
    body.append(smallTable("Containers and processes of the stacks",
      ["Name", "CPU", "Peak memory", "Read", "Written", "Received", "Sent", "Log"],
      units.slice(0, 100).map(([name, unit]) => [name, unit.cpu_s === null ? "–" : duration(unit.cpu_s), ...["peak_memory_bytes",
        "read_bytes", "written_bytes", "received_bytes", "sent_bytes", "log_bytes"].map((field) => bytes(unit[field]))])));
  }
}

function lineButton(line) {
  const button = element("button", { type: "button", "aria-pressed": "true" }, dot(line.colour), line.subject);
  button.addEventListener("click", () => {
    line.shown = !line.shown;
    button.setAttribute("aria-pressed", String(line.shown));
    drawCharts();
  });
  return button;
}

function chart(title, lines, field, format) {
  const readout = element("p", { class: "readout", role: "status", "aria-live": "polite" }, "Use the arrow keys or the pointer to read values.");
  const canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "chart", "aria-label": title + " over time" });
  const made = { canvas, lines, field, format, readout, at: null, left: 64, top: 26, height: 190 };
  const read = (at) => { made.at = Math.max(0, Math.min(wallTicks, at)); tellChart(made); drawChart(made); };
  canvas.addEventListener("keydown", (event) => {
    const step = wallTicks / 60 * (event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0);
    if (step) { event.preventDefault(); read((made.at === null ? -step : made.at) + step); }
  });
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    read((event.clientX - box.left - made.left) / (box.width - made.left - 8) * wallTicks);
  };
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) point(event); });
  charts.push(made);
  return element("div", { class: "chart" }, element("h3", {}, title), canvas, readout);
}

function tellChart(made) {
  const values = made.lines.filter((line) => line.shown).map((line) => {
    let found = null;
    for (const [at, value] of line[made.field]) { if (at > made.at) break; found = value; }
    return found === null ? null : line.subject + " " + made.format(found);
  }).filter(Boolean);
  made.readout.textContent = "At " + seconds(made.at) + ": " + (values.join(", ") || "no samples yet") + ".";
}

const drawCharts = () => charts.forEach(drawChart);

function drawChart(made) {
  const { canvas, left, top, height } = made;
  const width = canvas.parentElement.clientWidth || 300;
  const pen = prepared(canvas, width, height);
  const lines = made.lines.filter((line) => line.shown && line[made.field].length);
  const most = lines.reduce((peak, line) => line[made.field].reduce((m, [, v]) => Math.max(m, v), peak), 0) || 1;
  const right = width - 8, bottom = height - 8;
  drawAxis(pen, 0, wallTicks, left, right, bottom, top);
  const x = (at) => left + at / wallTicks * (right - left);
  const y = (value) => bottom - value / most * (bottom - top);
  pen.fillStyle = colour("muted");
  for (const part of [0, 0.5, 1]) {
    const label = made.format(most * part);
    pen.fillText(clipped(pen, label.replace(/ cores?$/, ""), left - 8), 4, y(most * part) + (part === 1 ? 10 : 0));
  }
  pen.lineWidth = 1.6;
  for (const line of lines) {
    pen.strokeStyle = colour(line.colour);
    pen.beginPath();
    line[made.field].forEach(([at, value], i) => (i ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
    pen.stroke();
  }
  if (made.at !== null) {
    pen.strokeStyle = colour("text"); pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x(made.at), top); pen.lineTo(x(made.at), bottom); pen.stroke();
  }
}
