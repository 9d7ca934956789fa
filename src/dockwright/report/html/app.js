// Puts the page together, and keeps the colour scheme.
function redraw() { drawTimeline(); drawCharts(); }

function showTheme() {
  const order = ["auto", "light", "dark"];
  const button = byId("theme");
  let chosen = "auto";
  try { chosen = localStorage.getItem("dockwright-theme") || "auto"; } catch { /* not from a file, in some browsers */ }
  const apply = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = "Colours: " + chosen;
  };
  button.addEventListener("click", () => {
    chosen = order[(order.indexOf(chosen) + 1) % order.length];
    try { localStorage.setItem("dockwright-theme", chosen); } catch { /* then it lasts as long as the page */ }
    apply();
    redraw();
  });
  apply();
}

showTheme();
showHead();
showTiles();
showSums();
showTimeline();
showUse();
showTests();
showRun();
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.documentElement.dataset.ready = Math.round(performance.now());
