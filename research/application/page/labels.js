// The labels of a classification, each with its share; pressed, it asks why that one.
import { el } from "./dom.js";

export function labelList(labels, { chosen, onchoose, longest = 8 }) {
  const shown = labels.slice(0, longest);
  const row = ({ label, probability }) => {
    const bar = el("span");
    bar.style.width = `${100 * probability}%`;
    return el("li", {}, el("button", { type: "button", disabled: !onchoose, title: onchoose ? `Why ${label}?` : "",
      "aria-pressed": String(label === chosen), onclick: () => onchoose(label) },
    el("span", { className: "name" }, label), el("span", { className: "share" }, percent(probability)),
    el("span", { className: "bar" }, bar)));
  };
  return el("ol", { className: "labels" }, ...shown.map(row));
}

export const percent = (p) => (p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);

/** What the colours of an explanation mean. */
export function key(method, label, ...more) {
  return el("div", { className: "key small muted" },
    el("span", {}, el("i"), label ? `for ${label}` : "for it"), el("span", {}, el("i", { className: "against" }), "against"),
    el("span", {}, `by ${method.replaceAll("_", " ")}`), ...more);
}
