// Tables: sortable by their headers, one for each kind of measurement.
function drawTables() {
  const several = data.tables.length > 1;
  $("separated").hidden = !several;
  if (several) {
    $("separated").textContent = `${data.tables.length} tables: runs that were measured `
      + "differently are not ranked together.";
  }
  const shown = data.tables.map((table, index) => index)
    .filter((index) => state.group < 0 || state.group === index);
  const focus = document.activeElement?.dataset?.focus;
  const scrolled = [...document.querySelectorAll(".scroll")].map((node) => node.scrollLeft);
  $("tables").replaceChildren(...shown.map((index) => drawTable(index)));
  document.querySelectorAll(".scroll").forEach((node, i) => {
    node.scrollLeft = scrolled[i] || 0;
  });
  // Redrawing must not take the keyboard's place away.
  if (focus) focusOn(focus);
  const rows = data.rows.filter((row) => shown.includes(row.table));
  const found = rows.filter(matches).length;
  $("count").textContent = state.filter ? `${found} of ${rows.length} rows`
    : `${rows.length} row${rows.length === 1 ? "" : "s"}`;
}

function columnsOf(index) {
  const table = data.tables[index];
  const rows = data.rows.filter((row) => row.table === index);
  // A sweep has its axes instead of ranks and names.
  const list = table.axes.length ? table.axes.map((axis, i) => ({
    id: `axis ${axis}`, label: axis, kind: i ? "label" : "text", axis: i,
    value: (row) => row.labels[i],
  })) : [
    { id: "rank", label: "#", kind: "rank", value: (row) => row.rank },
    { id: "name", label: "Run", kind: "text", value: (row) => row.name },
  ];
  for (const column of table.columns) {
    list.push({
      id: column.key, label: column.key, kind: "metric", column, lower: column.lower,
      value: (row) => metric(row, column.key)?.value,
    });
  }
  for (const { key, title } of table.reference) {
    list.push({ id: title, label: title, kind: "paper", value: (row) => row.reference[key] });
  }
  for (const cost of COSTS) {
    if (cost.column && rows.some((row) => known(row.cost[cost.key]))) {
      list.push({
        id: cost.key, label: cost.label, sub: cost.unit, kind: "cost", cost, lower: true,
        value: (row) => row.cost[cost.key],
      });
    }
  }
  return list;
}

function sorted(rows, columns, sort) {
  if (sort.id === "given") return rows;
  const column = columns.find((entry) => entry.id === sort.id) || columns[0];
  const sign = sort.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (["text", "label"].includes(column.kind)) return sign * x.localeCompare(y, undefined, { numeric: true });
    // Undefined values stay at the end, whatever the direction.
    if (!known(x) || !known(y)) return known(x) ? -1 : known(y) ? 1 : a.id - b.id;
    return sign * (x - y) || a.id - b.id;
  });
}

function drawTable(index) {
  const table = data.tables[index];
  const columns = columnsOf(index);
  const sort = state.sort[index] || (state.sort[index] = {
    id: table.axes.length ? "given" : "rank", descending: false,
  });
  const all = data.rows.filter((row) => row.table === index);
  const rows = sorted(all.filter(matches), columns, sort);
  const best = Object.fromEntries(table.columns.map((column) => {
    const values = all.map((row) => metric(row, column.key)?.value).filter(known);
    return [column.key, column.ranked && values.length ? Math[column.lower ? "min" : "max"](...values) : null];
  }));
  const ranges = Object.fromEntries(table.columns.map((c) => [c.key, rangeOf(all, c)]));
  const head = el("tr", {}, el("th", { scope: "col", class: "pick" },
    el("span", { class: "hidden" }, "Compare")),
  columns.map((column) => header(index, column, sort)));
  const body = rows.flatMap((row) => drawRow(row, columns, best, ranges));
  const empty = el("tr", {}, el("td", { colspan: columns.length + 1, class: "empty" },
    "No run matches the filter."));
  return el("article", { class: "card table" },
    el("div", { class: "caption" },
      el("h3", {}, data.tables.length > 1 ? `Table ${index + 1}: ${table.title}` : table.title),
      table.differs.length ? el("p", { class: "notice" },
        `Differs from table 1 in: ${table.differs.join("; ")}.`) : null,
      el("p", { class: "muted small" }, table.settings.join(" · "))),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table ${index + 1}` },
      el("table", {}, el("thead", {}, head), el("tbody", {}, body.length ? body : empty))),
    el("div", { class: "legend small muted" }, legend(table, all)));
}

function header(index, column, sort) {
  const active = sort.id === column.id;
  const order = active ? (sort.descending ? "descending" : "ascending") : "none";
  const act = () => {
    // The first click brings the best to the top.
    const first = column.kind === "metric" && !column.lower;
    state.sort[index] = { id: column.id, descending: active ? !sort.descending : first };
    changed();
  };
  const unit = column.sub || (column.kind === "metric" ? (column.column.percent ? "%" : "") : "");
  return el("th", { scope: "col", "aria-sort": order, class: column.kind },
    el("button", { type: "button", onclick: act, "data-focus": `sort-${index}-${column.id}` },
      el("span", {}, column.label),
      unit ? el("span", { class: "unit" }, unit) : null,
      el("span", { class: "arrow", "aria-hidden": "true" },
        active ? (sort.descending ? "▼" : "▲") : "↕")));
}

function rangeOf(rows, column) {
  const ends = rows.map((row) => metric(row, column.key)).filter(Boolean)
    .flatMap((found) => [found.value, found.low, found.high]).filter(known);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

function drawRow(row, columns, best, ranges) {
  const place = slot(row);
  const box = el("input", {
    type: "checkbox", "aria-label": `Compare ${row.name}`, checked: place >= 0,
    disabled: !row.n || (place < 0 && isFull()) ? true : null, "data-focus": `pick-${row.id}`,
    onchange: (event) => select(row, event.target.checked),
  });
  const cells = columns.map((column) => cell(row, column, best, ranges));
  const line = el("tr", { class: row.open ? "open" : null },
    el("td", { class: `pick${place >= 0 ? ` slot${place}` : ""}` }, box), cells);
  if (!row.open) return [line];
  const facts = el("dl", {}, row.facts.flatMap(([name, text]) => [
    el("dt", {}, name), el("dd", {}, text)]));
  if (row.difference) {
    const column = data.tables[row.table].columns[0];
    const [delta, low, high] = row.difference.map((x) => number(column, x));
    facts.append(el("dt", {}, "To the best"),
      el("dd", {}, `${delta} [${low}, ${high}] in ${title(column)}, paired`));
  }
  return [line, el("tr", { class: "facts" }, el("td", { colspan: columns.length + 1 }, facts))];
}

function cell(row, column, best, ranges) {
  if (column.kind === "rank") {
    return el("td", { class: "rank" }, row.rank ? String(row.rank) : "–");
  }
  if (column.kind === "text") {
    const toggle = () => { row.open = !row.open; changed(); };
    return el("th", { scope: "row", class: "text" },
      el("button", {
        type: "button", class: "name", "aria-expanded": String(Boolean(row.open)),
        onclick: toggle, "data-focus": `open-${row.id}`,
      }, breakable(column.axis === undefined ? row.name : row.labels[column.axis])),
      el("span", { class: row.missing.length ? "seeds lacking" : "seeds" }, seedsText(row)));
  }
  if (column.kind === "label") return el("td", { class: "label" }, row.labels[column.axis] || "–");
  if (column.kind === "paper") {
    const figure = column.value(row);
    return el("td", { class: "paper" }, known(figure) ? String(figure) : "–");
  }
  if (column.kind === "cost") {
    return el("td", { class: "cost" }, costText(column.cost, row.cost[column.id], false) || "–");
  }
  const found = metric(row, column.id);
  if (!found) return el("td", { class: "metric none" }, row.n ? "n/a" : "–");
  const top = found.value === best[column.id];
  const primary = column.id === data.tables[row.table].primary;
  return el("td", { class: top ? "metric best" : "metric" },
    el("span", { class: "value" }, number(column.column, found.value),
      primary && row.close
        ? el("span", { class: "mark", title: "not distinguishable from the best" }, "†") : null),
    el("span", { class: "bounds" }, bounds(column.column, found)),
    whisker(found, ranges[column.id]));
}

function seedsText(row) {
  if (!row.n) return row.note;
  return /^\d/.test(row.seeds) ? `seed${row.n > 1 ? "s" : ""} ${row.seeds}` : `seed ${row.seeds}`;
}

// Where the value and its bounds lie between the least and the greatest of the column.
function whisker(found, range) {
  const [low, high] = range;
  const at = (value) => (high > low ? 3 + 90 * ((value - low) / (high - low)) : 48);
  const parts = [svg("line", { x1: 3, x2: 93, y1: 5, y2: 5, class: "rail" })];
  if (found.low !== null) {
    const width = Math.max(at(found.high) - at(found.low), 1);
    parts.push(svg("rect", { x: at(found.low), y: 3, width, height: 4, rx: 2, class: "band" }));
  }
  parts.push(svg("circle", { cx: at(found.value), cy: 5, r: 3, class: "dot" }));
  return svg("svg", { viewBox: "0 0 96 10", class: "whisker", "aria-hidden": "true" }, parts);
}

function legend(table, rows) {
  const level = table.level ? `${+(table.level * 100).toFixed(2)} % ` : "";
  const parts = [];
  if (rows.some((row) => row.n === 1)) parts.push(`value [${level}interval over images]`);
  if (rows.some((row) => row.n > 1)) parts.push("mean ± standard deviation (n seeds)");
  if (rows.some((row) => row.close)) {
    parts.push(`† not distinguishable from the best in ${table.primary}, by paired differences`);
  } else if (rows.some((row) => row.difference)) {
    parts.push(`paired differences tell the best in ${table.primary} from all that were tested`);
  }
  const lower = table.columns.filter((column) => column.lower).map((column) => column.key);
  if (lower.length) parts.push(`lower is better: ${lower.join(", ")}`);
  if (table.reference.length) parts.push("the paper's figures were not measured here");
  if (!parts.length) parts.push("no finished run");
  return [el("p", {}, `${parts.join(" · ")}.`), ...table.notes.map((note) => el("p", {}, note))];
}
