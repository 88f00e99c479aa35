// The images on which a run is worst, with its predictions and the truth over them.
const LAYERS = [["prediction", "Prediction"], ["truth", "Truth"], ["", "Image only"]];
let layer = "prediction";

function imageOptions() {
  const rows = data.rows.filter((row) => row.table === chartGroup() && row.n);
  const first = rows.find((row) => row.images.cards.length) || rows[0];
  options($("run"), rows.map((row) => [row.id, row.name]), $("run").value || first?.id);
  if (!$("layers").querySelector("label")) {
    $("layers").append(...LAYERS.map(([key, text]) => el("label", {},
      el("input", {
        type: "radio", name: "layer", value: key, checked: key === layer ? true : null,
        onchange: () => { layer = key; drawImages(); },
      }), el("span", {}, text))));
  }
}

function drawImages() {
  const row = data.rows[Number($("run").value)];
  if (!row) return;
  const { cards, notes, legend: colours, of } = row.images;
  const column = data.tables[row.table].columns[0];
  const drawn = cards.some((card) => card.prediction || card.truth);
  $("layers").hidden = !drawn;
  $("layers").querySelectorAll("input").forEach((input) => {
    input.disabled = input.value !== "" && !cards.some((card) => card[input.value]);
  });
  const parts = [];
  if (cards.length) {
    parts.push(el("p", { class: "muted small" },
      `${column.lower ? "Highest" : "Lowest"} ${column.key} on a single image first`
      + `${of ? `, ${of}` : ""}. Scores of single images are noisier than those of the set.`));
    parts.push(el("div", { class: "cards" }, cards.map((card) => drawCard(card, column))));
  }
  parts.push(...notes.map((note) => el("p", { class: "notice" }, note)));
  if (drawn && colours.length) {
    parts.push(el("ul", { class: "colours" }, colours.map(([name, colour]) => {
      if (!colour) return el("li", { class: "muted" }, name);
      const swatch = el("span", { class: "swatch" });
      swatch.style.background = colour;
      return el("li", {}, swatch, name);
    })));
  }
  if (!parts.length) parts.push(el("p", { class: "empty" }, "No images."));
  $("images").replaceChildren(...parts);
}

function drawCard(card, column) {
  const stack = el("div", { class: "stack" });
  if (card.image) {
    stack.append(el("img", { src: data.pictures[card.image], alt: `image ${card.name}` }));
    const over = layer && card[layer];
    if (over) {
      stack.append(el("img", { src: data.pictures[over], alt: `${layer} of ${card.name}` }));
    }
    if (layer && !over) stack.append(el("span", { class: "without" }, `no ${layer}`));
  } else {
    stack.append(el("p", { class: "gone" }, card.note || "not in this page"));
  }
  return el("figure", {}, stack, el("figcaption", {},
    el("span", { class: "file", title: card.path || card.name },
      shortened(card.path.split(/[\\/]/).pop() || card.name, 15)),
    el("span", { class: "value" }, number(column, card.score), column.percent ? " %" : "")));
}
