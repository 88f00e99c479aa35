/* The canvas: collects strokes in pixels of the worked image, shows what comes back. */
const find = (name) => element.querySelector(name);
const INK = { add: "rgba(37, 99, 235, 0.55)", erase: "rgba(194, 65, 12, 0.6)" };
const view = {
  mode: "add", key: null, size: null, points: [], cursor: null, waiting: [], strokes: 0,
  sent: 0, answered: 0,
};
// As the server's own limit: it would refuse a larger file without a word on the page.
const MAX_BYTES = 500 * 1024 * 1024;

const scale = () => find(".picture").clientWidth / view.size[0];
const radius = () => {
  // The slider is a square root: small brushes need finer steps.
  const share = Number(find(".radius").value) / 100;
  // The server paints no thinner line.
  return Math.max(0.75, (share * share * Math.max(...view.size)) / 4);
};

function toImage(event) {
  const box = find(".ink").getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * view.size[0],
    ((event.clientY - box.top) / box.height) * view.size[1],
  ];
}

function trace(context, stroke) {
  const factor = scale();
  context.strokeStyle = context.fillStyle = INK[stroke.mode];
  context.lineWidth = 2 * stroke.radius * factor;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  stroke.points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * factor, y * factor));
  if (stroke.points.length === 1) {
    context.arc(stroke.points[0][0] * factor, stroke.points[0][1] * factor, stroke.radius * factor, 0, 7);
    context.fill();
  } else context.stroke();
}

/* As large as the window allows; small images are enlarged, but not without end. */
function fit() {
  const [width, height] = view.size;
  const room = [find(".stage").clientWidth / width, (0.62 * window.innerHeight) / height];
  const factor = Math.min(...room, Math.max(1, 640 / Math.max(width, height)));
  find(".picture").style.width = `${Math.max(1, Math.round(width * factor))}px`;
  find(".picture").style.height = `${Math.max(1, Math.round(height * factor))}px`;
}

function draw() {
  if (!view.size) return;
  const canvas = find(".ink");
  const picture = find(".picture");
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [picture.clientWidth, picture.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  view.waiting.forEach((stroke) => trace(context, stroke));
  if (view.points.length) trace(context, { mode: view.mode, radius: radius(), points: view.points });
  if (view.cursor) {
    const [x, y] = view.cursor.map((value) => value * scale());
    for (const [colour, extra] of [["#fff", 1], [view.mode === "add" ? "#2563eb" : "#c2410c", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(x, y, Math.max(1.5, radius() * scale()) + extra, 0, 7);
      context.stroke();
    }
  }
}

function say(text, kind) {
  find(".status").textContent = text;
  find(".status").dataset.kind = kind;
}

function settle() {
  for (const button of element.querySelectorAll(".undo, .clear, .save")) {
    button.disabled = !view.strokes || view.answered < view.sent;
  }
  find(".width").textContent = view.size ? `${Math.max(1, Math.round(2 * radius()))} px` : "";
}

function setMode(mode) {
  view.mode = mode;
  for (const button of element.querySelectorAll(".mode")) {
    button.setAttribute("aria-checked", String(button.dataset.mode === mode));
  }
  draw();
}

function send(name, data, text) {
  view.sent += 1;
  if (text) say(text, "busy");
  settle();
  trigger(name, { ...data, request: view.sent, of: view.key });
}

function finish() {
  if (!view.points.length) return;
  const stroke = { points: view.points, radius: radius(), mode: view.mode, request: view.sent + 1 };
  view.points = [];
  view.waiting.push(stroke);
  draw();
  send("paint_stroke", { points: stroke.points, radius: stroke.radius, erase: stroke.mode === "erase" }, "Refining …");
}

function download(file) {
  const bytes = Uint8Array.from(atob(file.data), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function show() {
  const value = props.value;
  if (!value || !value.serial || value.serial === view.serial) return;
  view.serial = value.serial;
  // Requests are answered in turn, so that an answer settles all before it, lost ones too.
  view.answered = Math.max(view.answered, value.opened ? view.sent : value.answered || 0);
  view.waiting = view.waiting.filter((stroke) => stroke.request > view.answered);
  if (value.opened) {
    view.key = value.opened.key;
    view.size = value.opened.size;
    view.points = [];
    find(".picture").src = value.opened.picture;
    find(".hint").style.display = "none";
    find(".paper").hidden = false;
    fit();
    setMode("add");
  }
  if (value.drawn) {
    view.strokes = value.drawn.strokes;
    const mask = find(".mask");
    if (value.drawn.overlay) mask.src = value.drawn.overlay;
    mask.hidden = !(value.drawn.overlay && find(".overlay").checked);
    mask.dataset.present = value.drawn.overlay ? "yes" : "";
  }
  if (value.file) download(value.file);
  say(value.status, value.kind);
  settle();
  draw();
}

element.addEventListener("pointerdown", (event) => {
  // A stroke may begin beside the picture: objects reach to its border.
  if (!view.size || !event.target.closest(".stage") || event.button !== 0) return;
  find(".ink").setPointerCapture(event.pointerId);
  event.preventDefault();
  view.points = [toImage(event)];
  draw();
});
element.addEventListener("pointermove", (event) => {
  if (!view.size || !event.target.matches(".ink")) return;
  view.cursor = toImage(event);
  if (view.points.length) {
    const moves = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    (moves.length ? moves : [event]).forEach((move) => view.points.push(toImage(move)));
  }
  draw();
});
element.addEventListener("pointerup", finish);
element.addEventListener("pointercancel", () => { view.points = []; draw(); });
element.addEventListener("pointerout", (event) => {
  if (event.target.matches(".ink")) { view.cursor = null; draw(); }
});
element.addEventListener("input", (event) => {
  if (event.target.matches(".radius")) { settle(); draw(); }
  if (event.target.matches(".overlay")) {
    find(".mask").hidden = !(event.target.checked && find(".mask").dataset.present);
  }
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  if (button.matches(".open")) chooser().click();
  if (button.matches(".mode")) setMode(button.dataset.mode);
  if (button.matches(".undo")) send("undo_stroke", {});
  if (button.matches(".clear")) send("clear_strokes", {});
  if (button.matches(".save")) send("save_mask", { form: button.dataset.form }, "Preparing the file …");
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("textarea, select, input:not(.radius):not(.overlay)")) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") {
    event.preventDefault();
    if (!find(".undo").disabled) find(".undo").click();
  } else if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (key === "a" || key === "e") {
    setMode(key === "a" ? "add" : "erase");
  } else if (key === "[" || key === "]") {
    find(".radius").value = Number(find(".radius").value) + (key === "[" ? -4 : 4);
    settle();
    draw();
  }
});

/* Gradio's own button, which is not shown, uploads what is chosen or dropped. */
const chooser = () => document.querySelector('input[type="file"]');
// Ahead of Gradio, which uploads at once.
document.addEventListener("change", (event) => {
  if (!event.target.matches('input[type="file"]') || !event.target.files.length) return;
  const file = event.target.files[0];
  if (file.size > MAX_BYTES) {
    event.stopPropagation();
    event.target.value = "";
    say(`'${file.name}' is larger than 500 MB: reduce it, or cut out the part with the object.`, "error");
  } else say(`Opening ${file.name} …`, "busy");
}, true);
const over = (event, on) => { event.preventDefault(); find(".stage").classList.toggle("over", on); };
element.addEventListener("dragover", (event) => over(event, true));
element.addEventListener("dragleave", (event) => over(event, false));
element.addEventListener("drop", (event) => {
  over(event, false);
  if (!event.dataTransfer.files.length) return;
  const one = new DataTransfer();
  one.items.add(event.dataTransfer.files[0]);
  chooser().files = one.files;
  chooser().dispatchEvent(new Event("change", { bubbles: true }));
});
const refit = () => { if (view.size) { fit(); draw(); } };
new ResizeObserver(refit).observe(find(".stage"));
window.addEventListener("resize", refit);
window.addEventListener("beforeunload", (event) => { if (view.strokes) event.preventDefault(); });
settle();
watch("value", show);
show();
