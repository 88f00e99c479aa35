// Accuracy against cost, with the runs that no other run beats in both.
const PLOT = { height: 400, left: 62, right: 24, top: 18, bottom: 50 };
const LABELLED = 14;
// With more points than this, only those of the front and of the selection show their bars.
const CROWDED = 40;

function scatterOptions() {
  const table = chartTable();
  const rows = data.rows.filter((row) => row.table === chartGroup());
  const costs = COSTS.filter((cost) => rows.some((row) => known(row.cost[cost.key])));
  options($("y"), table.metrics.map((column) => [column.key, column.key]), $("y").value
    && table.metrics.some((column) => column.key === $("y").value) ? $("y").value : table.primary);
  options($("x"), costs.map((cost) => [cost.key, `${cost.label} (${cost.unit})`]), $("x").value);
}

function drawScatter() {
  const column = chartTable().metrics.find((entry) => entry.key === $("y").value);
  const cost = COSTS.find((entry) => entry.key === $("x").value);
  if (!column || !cost) {
    say("scatter", "The records hold no cost to draw.");
    return;
  }
  const points = chartRows()
    .map((row) => ({ row, x: row.cost[cost.key] * cost.factor, found: metric(row, column.key) }))
    .filter((point) => known(point.row.cost[cost.key]) && point.found)
    .filter((point) => !$("log").checked || point.x > 0);
  if (!points.length) {
    say("scatter", "No run to draw.");
    return;
  }
  for (const point of points) {
    point.y = scaled(column, point.found.value);
    point.low = point.found.low === null ? null : scaled(column, point.found.low);
    point.high = point.found.high === null ? null : scaled(column, point.found.high);
  }
  const width = Math.max(300, $("scatter").clientWidth - 24);
  const axes = makeAxes(points, width, $("log").checked);
  const front = paretoFront(points, column.lower);
  const yTitle = `${title(column)} ${column.lower ? "↓" : "↑"}`;
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${PLOT.height}`, width, height: PLOT.height, role: "group",
    "aria-label": `${column.key} against ${cost.label}`,
  }, grid(axes, width, yTitle, `${cost.label} (${cost.unit}) ↓`),
  frontLine(front, axes, column.lower, width));
  for (const point of [...points].sort((a, b) => slot(a.row) - slot(b.row))) {
    picture.append(mark(point, axes, column, cost, front.includes(point), points.length > CROWDED));
  }
  picture.append(labels(points, front, axes, width));
  const spread = points.some((point) => point.found.spread);
  $("scatter").replaceChildren(picture, el("p", { class: "legend small muted" },
    el("span", { class: "key front" }), "Pareto front: no run is cheaper and at least as good",
    el("span", { class: "key bar" }),
    `interval over images${spread ? ", or ± one standard deviation over seeds" : ""}`,
    missingText(column, cost, points.length)));
}

function missingText(column, cost, drawn) {
  const lacking = chartRows().length - drawn;
  return lacking ? el("span", {}, ` · ${lacking} without ${column.key} or ${cost.label}`) : null;
}

function makeAxes(points, width, log) {
  const xs = points.map((point) => (log ? Math.log10(point.x) : point.x));
  const ys = points.flatMap((point) => [point.y, point.low, point.high]).filter(known);
  const pad = (low, high, share) => {
    const margin = (high - low) * share || Math.abs(high) * 0.1 || 1;
    return [low - margin, high + margin];
  };
  let [x0, x1] = pad(Math.min(...xs), Math.max(...xs), 0.08);
  if (!log && Math.min(...xs) >= 0) x0 = Math.max(0, x0);
  const [y0, y1] = pad(Math.min(...ys), Math.max(...ys), 0.08);
  const inner = width - PLOT.left - PLOT.right;
  const tall = PLOT.height - PLOT.top - PLOT.bottom;
  return {
    log, x0, x1, y0, y1,
    x: (value) => PLOT.left + inner * (((log ? Math.log10(value) : value) - x0) / (x1 - x0)),
    y: (value) => PLOT.top + tall * (1 - (value - y0) / (y1 - y0)),
  };
}

function grid(axes, width, yTitle, xTitle) {
  const bottom = PLOT.height - PLOT.bottom;
  const parts = [];
  for (const value of ticks(axes.y0, axes.y1, 6)) {
    const y = axes.y(value);
    parts.push(svg("line", { x1: PLOT.left, x2: width - PLOT.right, y1: y, y2: y, class: "grid" }),
      svg("text", { x: PLOT.left - 8, y: y + 4, class: "tick end" }, String(value)));
  }
  const linear = () => ticks(axes.x0, axes.x1, Math.max(4, width / 110));
  for (const value of axes.log ? logTicks(axes) : linear()) {
    const x = axes.x(value);
    parts.push(svg("line", { x1: x, x2: x, y1: PLOT.top, y2: bottom, class: "grid" }),
      svg("text", { x, y: bottom + 18, class: "tick middle" }, String(value)));
  }
  const middle = (PLOT.top + bottom) / 2;
  const centre = (PLOT.left + width - PLOT.right) / 2;
  parts.push(
    svg("line", { x1: PLOT.left, x2: width - PLOT.right, y1: bottom, y2: bottom, class: "axis" }),
    svg("text", { x: centre, y: PLOT.height - 10, class: "axis-title middle" }, xTitle),
    svg("text", {
      x: 16, y: middle, class: "axis-title middle", transform: `rotate(-90 16 ${middle})`,
    }, yTitle));
  return parts;
}

function logTicks(axes) {
  const wide = axes.x1 - axes.x0 > 1.5;
  const found = [];
  for (let power = Math.floor(axes.x0); power <= Math.ceil(axes.x1); power += 1) {
    for (const digit of wide ? [1, 3] : [1, 1.5, 2, 3, 4, 5, 7]) {
      const value = Number((digit * 10 ** power).toPrecision(3));
      if (Math.log10(value) >= axes.x0 && Math.log10(value) <= axes.x1) found.push(value);
    }
  }
  return found;
}

function paretoFront(points, lower) {
  const sign = lower ? -1 : 1;
  const order = [...points].sort((a, b) => a.x - b.x || sign * (b.y - a.y));
  const front = [];
  for (const point of order) {
    if (!front.length || sign * (point.y - front[front.length - 1].y) > 0) front.push(point);
  }
  return front;
}

function frontLine(front, axes, lower, width) {
  const end = width - PLOT.right;
  let path = `M${axes.x(front[0].x)},${lower ? PLOT.top : PLOT.height - PLOT.bottom}`;
  front.forEach((point, i) => {
    path += `V${axes.y(point.y)}H${i + 1 < front.length ? axes.x(front[i + 1].x) : end}`;
  });
  return svg("path", { d: path, class: "front" });
}

function mark(point, axes, column, cost, onFront, crowded) {
  const [x, y] = [axes.x(point.x), axes.y(point.y)];
  const place = slot(point.row);
  const quiet = crowded && place < 0 && !onFront;
  const lines = [
    point.row.name,
    `${title(column)}: ${number(column, point.found.value)} ${bounds(column, point.found)}`,
    `${cost.label}: ${costText(cost, point.row.cost[cost.key])}`,
    `seeds: ${point.row.seeds}`,
    onFront ? "on the Pareto front" : "",
  ].filter(Boolean);
  const toggle = () => { if (place >= 0 || !isFull()) select(point.row, place < 0); };
  const group = svg("g", {
    class: `point${place >= 0 ? ` slot${place}` : ""}${onFront ? " best" : ""}`,
    tabindex: 0, role: "checkbox", "aria-checked": String(place >= 0),
    "aria-label": lines.join(", "), "data-focus": `point-${point.row.id}`, onclick: toggle,
    onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    },
    ...tipped(lines),
  });
  if (point.low !== null && !quiet) {
    const [top, bottom] = [axes.y(point.high), axes.y(point.low)];
    const ends = `M${x - 4},${top}h8M${x - 4},${bottom}h8M${x},${top}V${bottom}`;
    group.append(svg("path", { d: ends, class: "bar" }));
  }
  group.append(svg("circle", { cx: x, cy: y, r: 13, class: "hit" }),
    svg("circle", { cx: x, cy: y, r: place >= 0 ? 7 : 5.5, class: "dot" }));
  return group;
}

// Names beside the points, where there is room for them.
function labels(points, front, axes, width) {
  const wanted = points.length <= LABELLED ? points
    : points.filter((point) => front.includes(point) || slot(point.row) >= 0);
  const boxes = points.map((p) => ({ x: axes.x(p.x) - 7, y: axes.y(p.y) - 7, w: 14, h: 14 }));
  const apart = (a, b) => a.x > b.x + b.w || a.x + a.w < b.x || a.y > b.y + b.h || a.y + a.h < b.y;
  const free = (box) => box.x > PLOT.left && box.x + box.w < width - 4 && box.y > 2
    && box.y + box.h < PLOT.height - PLOT.bottom
    && boxes.every((other) => apart(box, other));
  const group = svg("g", { class: "labels", "aria-hidden": "true" });
  const first = (point) => (slot(point.row) >= 0 ? 0 : front.includes(point) ? 1 : 2);
  for (const point of [...wanted].sort((a, b) => first(a) - first(b))) {
    const name = shortened(point.row.name, width < 600 ? 26 : 44);
    const [x, y, w] = [axes.x(point.x), axes.y(point.y), name.length * 6.6];
    const spots = [[10, -8], [10, 14], [-10 - w, -8], [-10 - w, 14], [-w / 2, -16], [-w / 2, 24]];
    const spot = spots.map(([dx, dy]) => ({ x: x + dx, y: y + dy - 10, w, h: 13 })).find(free);
    if (!spot) continue;
    boxes.push(spot);
    group.append(svg("text", { x: spot.x, y: spot.y + 10, class: "label" }, name));
  }
  return group;
}
