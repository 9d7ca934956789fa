// The head of the page, the sums, and what is known of the run itself.
const PHASE_WORDS = {
  queue: "waiting for a stack", fixture: "fixture", call: "body of the test", other: "other",
  gap: "outside tests", start: "stack starts", wait: "service becomes ready",
  lease: "leased", reset: "reset", cleanup: "removal",
};
const FAILED = new Set(["failed", "error"]);

function countBy(outcome) { return tests.filter((test) => test.outcome === outcome).length; }

function showHead() {
  const failed = tests.filter((test) => FAILED.has(test.outcome)).length;
  const good = run.exit === 0;
  const verdict = byId("verdict");
  verdict.textContent = failed ? failed + " failed" : good ? "passed" : "exit code " + run.exit;
  verdict.classList.add(good ? "good" : "bad");
  document.title = verdict.textContent + " – dockwright run " + run.id;
  const source = [run.git.branch, run.git.revision.slice(0, 10), run.git.dirty ? "uncommitted changes" : ""];
  byId("about").textContent = [
    new Date(run.began * 1000).toLocaleString(), source.filter(Boolean).join(" "), "run " + run.id,
  ].filter(Boolean).join(" · ");
}

function showTiles() {
  const waiting = tests.reduce((sum, test) => sum + test.waiting, 0);
  const outcomes = ["passed", "failed", "error", "skipped", "xfailed", "xpassed", "rerun"]
    .map((outcome) => [countBy(outcome), outcome]).filter(([count]) => count);
  const saved = data.digest.savings[0];
  const tiles = [
    ["Wall time", duration(run.wall), data.workers.length + (data.workers.length === 1 ? " process" : " processes")],
    ["Tests", String(tests.length), outcomes.map(([count, outcome]) => count + " " + outcome).join(", ")],
    ["Waiting for stacks", seconds(waiting), "sum over all tests"],
    ["Stacks", String(data.stacks.length), (run.counts.leases || 0) + " leases, " + (run.counts.resets || 0) + " resets"],
  ];
  if (saved) tiles.push(["Saved", duration(saved.seconds), saved.what]);
  byId("tiles").append(...tiles.map(([term, value, note]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, value, element("small", {}, note)))));
  byId("problems").append(...run.problems.map((text) =>
    element("p", { class: "notice" }, "Problem: " + text)));
}

function showSums() {
  const digest = data.digest;
  const total = digest.lanes.reduce((sum, share) => sum + share[2], 0);
  const processes = data.workers.length;
  byId("time-sum").textContent = duration(run.wall) + " of wall time" +
    (processes > 1 ? " in each of " + processes + " processes" : "") + ", " + duration(total) + " in total; the first table counts each second once.";
  byId("bar").append(...digest.lanes.map(([kind, words, sum]) =>
    element("i", { title: words, style: "flex:" + sum + " 0 0;background:var(--" + kind + ")" })));
  const shares = (rows) => rows.map(([kind, words, sum, count]) =>
    [[dot(kind), kind === "gap" ? words : kind + ": " + words], duration(sum), percent(sum, total), kind === "gap" ? "–" : String(count)]);
  fill("lanes-table", digest.lanes, () => smallTable(
    "In the test processes", ["Phase", "Time", "Share", "Tests"], shares(digest.lanes)));
  fill("behind-table", digest.behind, () => smallTable(
    "On the stacks, mostly in the background", ["Phase", "Time", "Count"],
    digest.behind.map(([kind, words, sum, count]) => [[dot(kind), kind + ": " + words], duration(sum), String(count)])));
  fill("queue-table", digest.queue, () => smallTable(
    "What tests waited for", ["Cause", "Time", "Count"],
    digest.queue.map(([words, sum, count]) => [words, duration(sum), String(count)])));
  const parts = [...digest.units.map(([name, ...rest]) => ["waiting for " + name, ...rest]),
    ...digest.resets.map(([name, ...rest]) => ["reset of " + name, ...rest])];
  fill("units-table", parts, () => smallTable(
    "Services", ["What", "Time", "Count"],
    parts.slice(0, 14).map(([name, sum, count]) => [name, duration(sum), String(count)])));
  byId("savings").append(...digest.savings.map((saving) => element("li", {},
    element("strong", {}, "Saved " + duration(saving.seconds)), " " + saving.what + ": " + saving.how + ".")));
}

function fill(id, rows, make) { if (rows.length) byId(id).append(make()); }

function showRun() {
  const pairs = (values) => Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== 0)
    .map(([name, value]) => [name, String(value)]);
  const machine = { ...run.machine, memory: bytes(run.machine.memory_bytes) };
  delete machine.memory_bytes;
  const body = byId("run-body");
  body.append(smallTable("Machine", ["", ""], pairs(machine), "wide"));
  body.append(smallTable("Source and settings", ["", ""], [
    ...pairs({ revision: run.git.revision, branch: run.git.branch, run: run.id }), ...pairs(run.settings)], "wide"));
  body.append(smallTable("Processes", ["Process", "CPU", "Children's CPU", "Peak memory"], data.workers.map((worker) =>
    [worker.name, duration(worker.cpu_s), duration(worker.children_cpu_s), bytes(worker.peak_memory_bytes)])));
  if (run.shared.length) {
    body.append(smallTable("Shared, not charged to any test", ["What", "Time", "Tests"], run.shared.slice(0, 30).map((cost) =>
      [cost.phase + " " + cost.name + " on " + cost.lane, duration(cost.seconds), String(cost.tests)])));
  }
  if (run.calls.length) {
    body.append(smallTable("Calls to the engine", ["Call", "Time", "Calls"], run.calls.slice(0, 20).map((call) =>
      [call.name, duration(call.seconds), String(call.count)])));
  }
  if (run.notes.length) {
    body.append(element("div", {}, element("h3", {}, "Notes"),
      ...run.notes.map((text) => element("p", {}, text))));
  }
}
