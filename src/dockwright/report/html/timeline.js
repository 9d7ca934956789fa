// The timeline: one canvas, a lane for each worker and each stack.
const timeline = { from: 0, to: wallTicks, lanes: [], lane: 0, item: -1, rows: [], width: 0 };

function readLanes() {
  const byWorker = new Map(data.workers.map((worker) => [worker.name, []]));
  for (const worker of data.workers) {
    for (const [name, began, length] of worker.gaps) {
      if (names[name] !== "between") byWorker.get(worker.name).push({ began, length, phase: "gap", label: names[name] });
    }
  }
  for (const test of tests) {
    if (!byWorker.has(test.worker)) byWorker.set(test.worker, []);
    byWorker.get(test.worker).push({ began: test.began, length: test.wall + test.shared, test });
  }
  const lanes = [...byWorker].map(([name, items]) => ({ title: name, kind: "worker", items }));
  const stacks = data.stacks.map((stack) => {
    const items = [];
    eachSpan(stack.spans, 0, (span) => items.push({ ...span, label: span.name }));
    const used = items.some((item) => item.phase === "lease");
    const number = stack.project.slice(stack.project.lastIndexOf("-") + 1);  // first, as the end may be clipped
    const title = "stack " + number + " " + stack.name + (used ? "" : ", never used");
    return { title, project: stack.project, kind: "stack", items };
  });
  for (const lane of [...lanes, ...stacks]) lane.items.sort((a, b) => a.began - b.began);
  const first = (lane) => (lane.items.length ? lane.items[0].began : Infinity);
  return [...lanes, ...stacks.sort((a, b) => first(a) - first(b))];
}

const DEPTH = { lease: 0, start: 0, cleanup: 0, reset: 0, wait: 1 };

function drawTimeline() {
  const canvas = byId("lanes");
  const narrow = canvas.parentElement.clientWidth < 620;
  const width = canvas.parentElement.clientWidth;
  const left = narrow ? 0 : 170;
  const laneHeight = narrow ? 44 : 30, top = 26;
  const height = top + timeline.lanes.length * laneHeight + 6;
  const pen = prepared(canvas, width, height);
  Object.assign(timeline, { left, top, laneHeight, width, narrow });
  const scale = (width - left - 4) / (timeline.to - timeline.from);
  timeline.scale = scale;
  drawAxis(pen, timeline.from, timeline.to, left, width - 4, height, top);
  const colours = {};
  for (const phase of Object.keys(PHASE_WORDS)) colours[phase] = colour(phase);
  colours.bad = colour("bad");
  const text = colour("text"), ground = colour("ground"), muted = colour("muted");
  timeline.lanes.forEach((lane, row) => {
    const y = top + row * laneHeight + (narrow ? 18 : 4);
    pen.save();
    pen.beginPath(); pen.rect(left, top, width - left, height - top); pen.clip();
    drawLane(pen, lane, y, 22, left, scale, colours);
    pen.restore();
    pen.fillStyle = row === timeline.lane && document.activeElement === canvas ? text : muted;
    pen.font = "12px system-ui, sans-serif";
    const title = lane.kind === "stack" ? lane.title : "worker " + lane.title;
    pen.fillText(clipped(pen, title, narrow ? width - 12 : left - 14), 6, narrow ? y - 5 : y + 15);
  });
  drawChosen(pen, text, ground);
}

function drawLane(pen, lane, y, height, left, scale, colours) {
  const put = (began, length, phase, deep) => {
    const x = left + (began - timeline.from) * scale;
    const w = Math.max(0.7, length * scale);
    if (x + w < left || x > timeline.width) return;
    pen.fillStyle = colours[phase] || colours.other;
    const inset = deep ? height * 0.55 : 0;
    pen.fillRect(x, y + inset, w > 3 ? w - 0.5 : w, height - inset);
  };
  for (const item of lane.items) {
    if (!item.test) { put(item.began, item.length, item.phase, DEPTH[item.phase] === 1); continue; }
    put(item.began, item.length, "other", false);
    eachSpan(item.test.spans, item.began, (span) => {
      if (span.phase !== "other") put(span.began, span.length, span.phase, false);
    });
    if (FAILED.has(item.test.outcome)) {
      const x = left + (item.began - timeline.from) * scale;
      pen.fillStyle = colours.bad;
      pen.fillRect(x, y - 3, Math.max(3, item.length * scale), 3);
    }
  }
}

function drawChosen(pen, text, ground) {
  const item = chosenItem();
  if (!item) return;
  const x = timeline.left + (item.began - timeline.from) * timeline.scale;
  const y = timeline.top + timeline.lane * timeline.laneHeight + (timeline.narrow ? 18 : 4);
  const w = Math.max(3, item.length * timeline.scale);
  pen.lineWidth = 4; pen.strokeStyle = ground; pen.strokeRect(x - 1, y - 1, w + 2, 24);
  pen.lineWidth = 2; pen.strokeStyle = text; pen.strokeRect(x - 1, y - 1, w + 2, 24);
}

function prepared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

function drawAxis(pen, from, to, left, right, height, top) {
  const span = (to - from) / TICKS;
  const most = Math.max(2, Math.floor((right - left) / 90));
  const step = niceStep(span / most);
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  for (let s = Math.ceil(from / TICKS / step) * step; s <= to / TICKS; s += step) {
    const x = left + (s * TICKS - from) / (to - from) * (right - left);
    pen.strokeStyle = colour("line");
    pen.beginPath(); pen.moveTo(x, top - 6); pen.lineTo(x, height); pen.stroke();
    pen.fillStyle = colour("muted");
    const label = step < 1 ? s.toFixed(Math.min(4, Math.ceil(-Math.log10(step)))) + " s" : s >= 600 ? Math.round(s / 6) / 10 + " min" : Math.round(s) + " s";
    const room = pen.measureText(label).width;
    pen.fillText(label, Math.min(Math.max(x - room / 2, left), right - room), 15);
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough) || power;
}

function clipped(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  while (text && pen.measureText(text + "…").width > room) text = text.slice(0, -1);
  return text + "…";
}

const chosenItem = () => (timeline.lanes[timeline.lane] || { items: [] }).items[timeline.item];

function tellChosen() {
  const lane = timeline.lanes[timeline.lane];
  const item = chosenItem();
  if (!lane) return;
  const where = (lane.kind === "stack" ? lane.title + " (" + lane.project + ")" : "Worker " + lane.title) + ": ";
  if (!item) { byId("piece").textContent = where + lane.items.length + " pieces."; return; }
  const when = "at " + seconds(item.began) + ", " + seconds(item.length);
  if (item.test) {
    const parts = new Map();
    eachSpan(item.test.spans, 0, (span) => parts.set(span.phase, (parts.get(span.phase) || 0) + span.length));
    const detail = [...parts].map(([phase, length]) => phase + " " + seconds(length)).join(", ");
    byId("piece").textContent = where + item.test.file + "::" + item.test.name + ", " + item.test.outcome + ", " + when + " (" + detail + ")";
  } else {
    byId("piece").textContent = where + (PHASE_WORDS[item.phase] || item.phase) + (item.label ? " – " + item.label : "") + ", " + when + (item.flags & UNCERTAIN ? " (estimated)" : "");
  }
}

function choose(lane, item, follow) {
  timeline.lane = Math.max(0, Math.min(timeline.lanes.length - 1, lane));
  const items = (timeline.lanes[timeline.lane] || { items: [] }).items;
  timeline.item = Math.max(-1, Math.min(items.length - 1, item));
  const chosen = chosenItem();
  if (chosen && follow && (chosen.began < timeline.from || chosen.began + chosen.length > timeline.to)) {
    move(chosen.began + chosen.length / 2 - (timeline.from + timeline.to) / 2);
  }
  tellChosen();
  drawTimeline();
}

function nearest(lane, at) {
  const items = (timeline.lanes[lane] || { items: [] }).items;
  let best = -1, far = Infinity;
  items.forEach((item, index) => {
    const away = at < item.began ? item.began - at : Math.max(0, at - item.began - item.length);
    if (away < far || (away === far && best >= 0 && item.length < items[best].length)) { best = index; far = away; }
  });
  return best;
}

function zoom(factor, around) {
  const span = Math.min(wallTicks, Math.max(50, (timeline.to - timeline.from) * factor));
  const part = (around - timeline.from) / (timeline.to - timeline.from);
  timeline.from = around - span * part;
  timeline.to = timeline.from + span;
  move(0);
  drawTimeline();
}

function move(by) {
  const span = timeline.to - timeline.from;
  timeline.from = Math.max(0, Math.min(wallTicks - span, timeline.from + by));
  timeline.to = timeline.from + span;
}

function middle() {
  const item = chosenItem();
  const centre = item ? item.began + item.length / 2 : -1;
  return centre >= timeline.from && centre <= timeline.to ? centre : (timeline.from + timeline.to) / 2;
}

function timelineKey(event) {
  const at = middle();
  const steps = {
    ArrowRight: () => choose(timeline.lane, timeline.item + 1, true),
    ArrowLeft: () => choose(timeline.lane, Math.max(0, timeline.item - 1), true),
    ArrowDown: () => choose(timeline.lane + 1, nearest(Math.min(timeline.lanes.length - 1, timeline.lane + 1), at), true),
    ArrowUp: () => choose(timeline.lane - 1, nearest(Math.max(0, timeline.lane - 1), at), true),
    Home: () => choose(timeline.lane, 0, true),
    End: () => choose(timeline.lane, Infinity, true),
    "+": () => zoom(0.5, at), "=": () => zoom(0.5, at), "-": () => zoom(2, at), "−": () => zoom(2, at),
    "0": () => zoom(wallTicks, at),
    Enter: () => { const item = chosenItem(); if (item && item.test) openTest(item.test); },
  };
  const step = event.ctrlKey || event.metaKey || event.altKey ? undefined : steps[event.key];
  if (step) { event.preventDefault(); step(); }
}

function followPointer(canvas) {
  let held = null, moved = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const lane = Math.floor((event.clientY - box.top - timeline.top) / timeline.laneHeight);
    return { lane, at: timeline.from + (event.clientX - box.left - timeline.left) / timeline.scale };
  };
  canvas.addEventListener("pointerdown", (event) => {
    held = event.clientX; moved = false; canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held === null) return;
    if (Math.abs(event.clientX - held) > 3 || moved) {
      moved = true;
      move((held - event.clientX) / timeline.scale);
      held = event.clientX;
      drawTimeline();
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (held !== null && !moved) {
      const { lane, at } = place(event);
      if (lane >= 0 && lane < timeline.lanes.length) choose(lane, nearest(lane, at), false);
    }
    held = null;
  });
  canvas.addEventListener("pointercancel", () => { held = null; });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // else the page could not be scrolled past it
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, place(event).at);
  }, { passive: false });
}

function showTimeline() {
  timeline.lanes = readLanes();
  const used = new Set(["call"]);
  for (const lane of timeline.lanes) {
    for (const item of lane.items) {
      if (item.test) eachSpan(item.test.spans, 0, (span) => used.add(span.phase)); else used.add(item.phase);
    }
  }
  byId("legend").append(...Object.entries(PHASE_WORDS).filter(([phase]) => used.has(phase))
    .map(([phase, words]) => element("li", {}, dot(phase), words)));
  const canvas = byId("lanes");
  canvas.addEventListener("keydown", timelineKey);
  canvas.addEventListener("focus", () => { if (timeline.item < 0) choose(timeline.lane, 0, false); else drawTimeline(); });
  canvas.addEventListener("blur", drawTimeline);
  followPointer(canvas);
  byId("zoom-in").addEventListener("click", () => zoom(0.5, middle()));
  byId("zoom-out").addEventListener("click", () => zoom(2, middle()));
  byId("zoom-all").addEventListener("click", () => zoom(wallTicks, middle()));
  drawTimeline();
}
