// The run, read from the columns that page.py writes.
const TICKS = 10000;
const SHARED = 1, UNCERTAIN = 2, SETUP = 4, TEARDOWN = 8;
const data = JSON.parse(document.getElementById("data").textContent);
const names = data.names;
const run = data.run;
const byId = (id) => document.getElementById(id);

function eachSpan(flat, origin, visit) {
  for (let i = 0; i < flat.length; i += 5) {
    visit({
      phase: names[flat[i]], name: names[flat[i + 1]], began: origin + flat[i + 2],
      length: flat[i + 3], flags: flat[i + 4],
    });
  }
}

function readTests(columns) {
  const tests = [];
  for (let i = 0; i < columns.name.length; i++) {
    const test = {
      index: i, file: names[columns.file[i]], name: columns.name[i],
      worker: names[columns.worker[i]], outcome: names[columns.outcome[i]],
      lane: names[columns.lane[i]], stack: names[columns.stack[i]],
      began: columns.began[i], wall: columns.wall[i], spans: columns.spans[i],
      waiting: 0, body: 0, shared: 0,
    };
    eachSpan(test.spans, test.began, (span) => {
      if (span.phase === "queue") test.waiting += span.length;
      if (span.phase === "call") test.body += span.length;
      if (span.flags & SHARED) test.shared += span.length;
    });
    test.key = (test.file + "::" + test.name).toLowerCase();
    tests.push(test);
  }
  return tests;
}

const tests = readTests(data.tests);
const wallTicks = Math.max(1, Math.round(run.wall * TICKS));
