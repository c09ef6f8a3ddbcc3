// Elements, without markup in strings: whatever a model or a card says stays text.

/** An element: properties, listeners (onclick), attributes (aria-*, data-*), children (nodes, texts, null). */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** A colour of the style sheet, as red, green and blue. */
export function colour(name) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

/** A button to choose a file, which keyboards reach; onfile is given the file. */
export function fileButton(text, accept, onfile, more = {}) {
  const input = el("input", { type: "file", accept, ...more, onchange: () => {
    if (input.files.length) onfile(input.files[0]);
    input.value = "";
  } });
  return el("label", {}, input, el("span", { className: "button" }, text));
}

/** Files dropped on an element, or pasted anywhere while it is on the page. */
export function takeDrops(target, type, onfile) {
  const found = (list) => [...(list ?? [])].find((file) => file.type.startsWith(type));
  const over = (event) => { event.preventDefault(); target.classList.add("over"); };
  target.addEventListener("dragover", over);
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    const file = found(event.dataTransfer.files) ?? event.dataTransfer.files[0];
    if (file) onfile(file);
  });
  const paste = (event) => {
    if (!target.isConnected) return document.removeEventListener("paste", paste);
    const file = found(event.clipboardData?.files);
    if (file) onfile(file);
  };
  document.addEventListener("paste", paste);
}

/** The bundle's options as fields; `values()` gives what was changed. */
export function optionFields(options) {
  const fields = Object.entries(options).map(([name, about]) => [name, about, el("input", {
    type: "number", value: about.default, min: about.low, max: about.high, step: about.type === "int" ? 1 : "any" })]);
  const values = () => Object.fromEntries(fields.filter(([, about, field]) => field.value !== "" && +field.value !== about.default)
    .map(([name, , field]) => [name, +field.value]));
  const node = fields.length ? el("details", { className: "options" }, el("summary", {}, "Options"),
    el("div", { className: "row tight" }, ...fields.map(([name, about, field]) =>
      el("label", { className: "field", title: about.about ?? "" }, name.replaceAll("_", " "), field)))) : null;
  return { node, values };
}
