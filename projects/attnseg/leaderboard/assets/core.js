// What all parts share: the data, the state, and how numbers and elements are made.
const data = JSON.parse(document.getElementById("data").textContent);
data.rows.forEach((row, index) => { row.id = index; });

const MOST_SELECTED = 6;
const COSTS = [
  { key: "latency_ms_p50", label: "Latency p50", unit: "ms", factor: 1, column: true },
  { key: "latency_ms_p95", label: "Latency p95", unit: "ms", factor: 1 },
  { key: "macs", label: "MACs", unit: "G", factor: 1e-9, column: true },
  { key: "params", label: "Parameters", unit: "M", factor: 1e-6, column: true },
  { key: "peak_memory_mib", label: "Peak memory", unit: "MiB", factor: 1 },
  { key: "training_seconds", label: "Training time", unit: "min", factor: 1 / 60 },
];

const state = { filter: "", group: data.tables.length > 1 ? -1 : 0, sort: {}, selected: [] };
const listeners = [];
const onChange = (listener) => listeners.push(listener);
const changed = () => listeners.forEach((listener) => listener());

const $ = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  // Strings become text nodes: nothing from a record is ever parsed as markup.
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// The table that charts are about: the chosen one, or the first if all are shown.
const chartGroup = () => Math.max(state.group, 0);
const chartTable = () => data.tables[chartGroup()];
const chartRows = () => data.rows
  .filter((row) => row.table === chartGroup() && row.n && matches(row));

function matches(row) {
  const text = [row.name, row.seeds, ...row.facts.slice(0, 3).map((fact) => fact[1])]
    .join(" ").toLowerCase();
  return state.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

// A metric of a row; bounds are those of the interval, or one standard deviation around the mean.
function metric(row, key) {
  const found = row.metrics[key];
  if (!found || !known(found[0])) return null;
  const [value, sd, n, low, high] = found;
  const spread = row.n > 1 && known(sd);
  return {
    value, sd, n, spread,
    low: spread ? value - sd : known(low) ? low : null,
    high: spread ? value + sd : known(high) ? high : null,
  };
}

const scaled = (column, value) => (column.percent ? value * 100 : value);

function number(column, value) {
  if (!known(value)) return "n/a";
  const shown = scaled(column, value);
  return shown.toFixed(column.percent || Math.abs(shown) < 100 ? 2 : 1);
}

// The value's interval or deviation in words.
function bounds(column, found) {
  if (found.spread) return `± ${number(column, found.sd)} (${found.n})`;
  if (found.low === null) return "";
  return `[${number(column, found.low)}, ${number(column, found.high)}]`;
}

function costText(cost, value, unit = true) {
  if (!known(value)) return "";
  const shown = value * cost.factor;
  const text = shown >= 100 ? shown.toFixed(0) : shown >= 10 ? shown.toFixed(1) : shown.toFixed(2);
  return unit ? `${text} ${cost.unit}` : text;
}

// A long name may break behind its separators, and keeps its ends where it is cut.
const breakable = (name) => name.split(/(?<=[_/.-])/).flatMap((part) => [part, el("wbr")]);
const shortened = (name, most) => (name.length <= most ? name
  : `${name.slice(0, Math.ceil(most * 0.6))}…${name.slice(1 - Math.floor(most * 0.4))}`);

const title = (column) => `${column.key}${column.percent ? " (%)" : ""}`;

// Position in the selection, which is also the number of the colour; -1 if not selected.
const slot = (row) => state.selected.indexOf(row.id);

function select(row, on) {
  const place = state.selected.indexOf(row.id);
  if (!on && place >= 0) state.selected[place] = null;
  if (on && place < 0) {
    const gap = state.selected.indexOf(null);
    if (gap >= 0) state.selected[gap] = row.id;
    else if (state.selected.length < MOST_SELECTED) state.selected.push(row.id);
  }
  changed();
}

const selectedRows = () => state.selected
  .filter((id) => id !== null).map((id) => data.rows[id])
  .filter((row) => row.table === chartGroup());

const isFull = () => state.selected.filter((id) => id !== null).length >= MOST_SELECTED;

// A fresh selection: the three best of the charts' table.
function selectBest() {
  state.selected = data.rows.filter((row) => row.table === chartGroup() && row.n)
    .slice(0, 3).map((row) => row.id);
}

const focusOn = (name) => document.querySelector(`[data-focus="${CSS.escape(name)}"]`)?.focus();

const say = (id, text) => $(id).replaceChildren(el("p", { class: "empty" }, text));

function options(target, entries, value) {
  target.replaceChildren(...entries.map(([key, text]) => el("option", { value: key }, text)));
  if (entries.some(([key]) => String(key) === String(value))) target.value = value;
}

// Round numbers that cover a range.
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => s >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Without the digits of rounding: 0.3, not 0.30000000000000004.
  const value = (_, i) => Number(((first + i) * step).toPrecision(12));
  return Array.from({ length: last - first + 1 }, value);
}

function showTip(event, lines) {
  const tip = $("tip");
  tip.replaceChildren(...lines.map((line, i) => el(i ? "div" : "strong", {}, line)));
  tip.hidden = false;
  const box = event.currentTarget.getBoundingClientRect();
  const x = event.clientX || box.left + box.width / 2;
  const y = event.clientY || box.top;
  const width = tip.offsetWidth;
  const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - width - 8);
  tip.style.left = `${left + window.scrollX}px`;
  const above = y - tip.offsetHeight - 12;
  tip.style.top = `${(above > 4 ? above : y + 18) + window.scrollY}px`;
}

const hideTip = () => { $("tip").hidden = true; };

function tipped(lines) {
  const show = (event) => showTip(event, lines);
  return { onmousemove: show, onmouseleave: hideTip, onfocus: show, onblur: hideTip };
}
