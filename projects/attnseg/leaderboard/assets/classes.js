// Values of single classes, for the selected runs side by side.
const BAR = { height: 13, gap: 2, group: 14, top: 6, bottom: 30 };

function classOptions() {
  const families = chartTable().families;
  options($("family"), families.map((family) => [family.key, family.key]), $("family").value);
  options($("order"), [
    ["given", "as in the data set"],
    ["value", "best first"],
    ["spread", "largest difference first"],
  ], $("order").value || "given");
}

function drawClasses() {
  const family = chartTable().families.find((entry) => entry.key === $("family").value);
  const rows = selectedRows();
  if (!family) {
    say("classes", "The records hold no values of single classes.");
    return;
  }
  if (!rows.length) {
    say("classes", "Select runs in the table or in the plot to compare them.");
    return;
  }
  const classes = family.classes.map((name) => ({
    name, found: rows.map((row) => metric(row, `${family.key}/${name}`)),
  }));
  orderClasses(classes, $("order").value, family.lower);
  const width = Math.max(300, $("classes").clientWidth - 24);
  $("classes").replaceChildren(
    el("ul", { class: "runs" }, rows.map((row) => el("li", { class: `slot${slot(row)}` },
      el("span", { class: "swatch" }), row.name,
      el("button", {
        type: "button", "aria-label": `Remove ${row.name}`, onclick: () => select(row, false),
      }, "×")))),
    classBars(classes, rows, family, width));
}

function orderClasses(classes, order, lower) {
  const values = (entry) => entry.found.filter(Boolean).map((found) => found.value);
  const mean = (entry) => {
    const list = values(entry);
    return list.length ? list.reduce((a, b) => a + b, 0) / list.length : null;
  };
  const spread = (entry) => {
    const list = values(entry);
    return list.length > 1 ? Math.max(...list) - Math.min(...list) : -1;
  };
  if (order === "spread") classes.sort((a, b) => spread(b) - spread(a));
  if (order === "value") {
    classes.sort((a, b) => {
      const [x, y] = [mean(a), mean(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return lower ? x - y : y - x;
    });
  }
}

function classBars(classes, rows, family, width) {
  const longest = Math.max(...classes.map((entry) => entry.name.length));
  const left = Math.min(Math.max(60, longest * 7.2 + 14), width * 0.36);
  const right = 58;
  const ends = classes.flatMap((entry) => entry.found).filter(Boolean)
    .flatMap((found) => [found.value, found.high]).filter(known)
    .map((value) => scaled(family, value));
  const highest = family.percent ? 100 : Math.max(...ends, 1e-9) * 1.05;
  const inner = width - left - right;
  const at = (value) => left + inner * (Math.max(0, scaled(family, value)) / highest);
  const group = rows.length * (BAR.height + BAR.gap) + BAR.group;
  const height = BAR.top + classes.length * group + BAR.bottom;
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${family.key} of ${classes.length} classes for ${rows.length} runs`,
  });
  for (const value of ticks(0, highest, width / 130)) {
    const x = left + inner * (value / highest);
    picture.append(
      svg("line", { x1: x, x2: x, y1: BAR.top, y2: height - BAR.bottom, class: "grid" }),
      svg("text", { x, y: height - 12, class: "tick middle" }, String(value)));
  }
  classes.forEach((entry, position) => {
    const top = BAR.top + position * group;
    const room = Math.floor((left - 14) / 7.2);
    const short = entry.name.length > room ? `${entry.name.slice(0, room - 1)}…` : entry.name;
    picture.append(svg("text", {
      x: left - 8, y: top + (group - BAR.group) / 2 + 4, class: "tick class end",
    }, short, svg("title", {}, entry.name)));
    entry.found.forEach((found, i) => {
      const y = top + i * (BAR.height + BAR.gap);
      picture.append(classBar(found, rows[i], entry.name, family, at, left, y));
    });
  });
  return picture;
}

function classBar(found, row, name, family, at, left, y) {
  const text = found ? `${number(family, found.value)} ${bounds(family, found)}` : "n/a";
  const line = svg("g", { class: `bar slot${slot(row)}`, ...tipped([name, row.name, text]) });
  const middle = y + BAR.height / 2;
  if (!found) {
    line.append(svg("text", { x: left + 4, y: middle + 4, class: "tick" }, "n/a"));
    return line;
  }
  const width = Math.max(at(found.value) - left, 1);
  line.append(svg("rect", { x: left, y, width, height: BAR.height, rx: 2, class: "fill" }));
  let end = at(found.value);
  if (found.low !== null) {
    const [a, b] = [at(found.low), at(found.high)];
    const ends = `M${a},${middle - 3}v6M${b},${middle - 3}v6M${a},${middle}H${b}`;
    line.append(svg("path", { d: ends, class: "error" }));
    end = Math.max(end, b);
  }
  line.append(svg("text", { x: end + 6, y: middle + 4, class: "tick" },
    number(family, found.value)));
  return line;
}
