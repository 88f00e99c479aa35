// Start: fill the head and the controls, then draw and listen.
function start() {
  const runs = data.rows.reduce((sum, row) => sum + row.n, 0);
  $("title").textContent = data.title;
  $("summary").textContent = `${runs} run${runs === 1 ? "" : "s"} in ${data.rows.length} `
    + `row${data.rows.length === 1 ? "" : "s"}, ${data.tables.length} kind`
    + `${data.tables.length === 1 ? "" : "s"} of measurement · made ${data.made}`;
  if (data.skipped.length) {
    $("skipped").hidden = false;
    $("skipped").querySelector("summary").textContent = `${data.skipped.length} file`
      + `${data.skipped.length === 1 ? "" : "s"} could not be used`;
    $("skipped").querySelector("ul").append(...data.skipped.map((reason) => el("li", {}, reason)));
  }
  $("measured").hidden = data.tables.length < 2;
  options($("group"), [[-1, `all ${data.tables.length} tables`],
    ...data.tables.map((table, i) => [i, `${i + 1}: ${table.title}`])], state.group);
  selectBest();
  regroup();
  onChange(drawTables);
  onChange(drawCharts);
  $("filter").addEventListener("input", (event) => {
    state.filter = event.target.value;
    changed();
  });
  $("group").addEventListener("change", (event) => {
    state.group = Number(event.target.value);
    selectBest();
    regroup();
    changed();
  });
  ["x", "y", "log"].forEach((id) => $(id).addEventListener("change", drawScatter));
  ["family", "order"].forEach((id) => $(id).addEventListener("change", drawClasses));
  $("run").addEventListener("change", drawImages);
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(drawCharts, 120);
  });
  changed();
  drawImages();
}

function regroup() {
  // Each table has its own first metric: what was chosen for another one does not carry over.
  ["run", "y", "family"].forEach((id) => $(id).replaceChildren());
  scatterOptions();
  classOptions();
  imageOptions();
  drawImages();
  document.querySelectorAll(".of").forEach((node) => {
    node.textContent = data.tables.length > 1
      ? `Table ${chartGroup() + 1}: ${chartTable().title}` : "";
    node.hidden = data.tables.length < 2;
  });
}

function drawCharts() {
  hideTip();
  const focus = document.activeElement?.dataset?.focus;
  drawScatter();
  drawClasses();
  if (focus?.startsWith("point-")) focusOn(focus);
}

start();
