// A text: what becomes of it, with the parts that each word comes from; or its labels.
import { attempt, formOf, predict } from "./ask.js";
import { byId, el } from "./dom.js";
import { key, labelList } from "./labels.js";

export function textForm(spec, options) {
  const field = el("textarea", { id: "text", placeholder: "Type or paste a text", spellcheck: false, "aria-label": "Text",
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(); } });
  const send = (target) => attempt(async () => {
    const asked = { text: field.value, ...options.values(), ...(spec.explains ? { explain: 1, ...(target ? { target } : {}) } : {}) };
    const answer = await predict(spec.model, formOf(asked));
    const parts = answer.labels ? classified(spec, answer, field.value, target, send) : rewritten(answer);
    if (answer.truncated) parts.push(el("p", { className: "muted small" }, answer.truncated));
    byId("result").replaceChildren(...parts);
    byId("result").hidden = false;
  });
  return el("form", { onsubmit: (event) => { event.preventDefault(); send(); } }, field, options.node,
    el("div", { className: "row" }, el("button", { className: "main" }, spec.kind === "text-to-text" ? "Rewrite it" : "Read it"),
      el("span", { className: "muted small" }, "or Ctrl + Enter")));
}

function classified(spec, answer, text, target, send) {
  const why = answer.explanation, label = why?.label ?? target ?? answer.labels[0].label;
  const list = labelList(answer.labels, { chosen: label, onchoose: spec.explains ? (name) => send(name) : null });
  if (!why) return [list];
  const words = text.trim().split(/\s+/).map((word) => `${word} `), tokens = why.tokens ? cleaned(why.tokens) : words;
  if (tokens.length !== why.map.length) return [list];
  const most = Math.max(...why.map.map(Math.abs), 1e-12);
  const shaded = tokens.map((token, i) => {
    const span = el("span", { className: why.map[i] < 0 ? "against" : "", title: why.map[i].toPrecision(3) }, token);
    span.style.setProperty("--weight", Math.abs(why.map[i]) / most);
    return span;
  });
  return [el("div", { className: "pair" }, el("div", {}, el("p", { className: "tokens" }, ...shaded), key(why.method, label)), list)];
}

/** Output and source; a word of the one shows where in the other it comes from. */
function rewritten(answer) {
  const weights = answer.alignment;
  if (!weights?.length) return [el("p", { className: "output" }, answer.text)];
  const columns = weights[0].length, source = grouped(cleaned(answer.source_tokens.slice(0, columns)));
  const output = cleaned(answer.output_tokens.slice(0, weights.length));
  // The share of each group of source tokens in each token of the output.
  const shares = weights.map((row) => source.map(({ from, to }) => row.slice(from, to).reduce((a, b) => a + b, 0)));
  const long = source.length < columns;
  const from = source.map(({ text }) => el("span", {}, text));
  const to = output.map((token) => el("span", { tabIndex: token.trim() ? 0 : -1 }, token));

  const light = (spans, values) => {
    const most = Math.max(...values, 1e-9);
    spans.forEach((span, i) => {
      const share = values[i] / most;
      span.style.setProperty("--weight", share < 0.15 ? 0 : share);
      span.classList.toggle("lit", share >= 0.5);
    });
  };
  const all = source.map((_, j) => Math.max(0, shares.reduce((sum, row) => sum + row[j], 0) / shares.length - 0.5 / source.length));
  const rest = () => {
    light(from, long ? all : all.map(() => 0));
    to.forEach((span) => { span.style.setProperty("--weight", 0); span.classList.remove("here"); });
    from.forEach((span) => span.classList.remove("here"));
  };
  to.forEach((span, i) => {
    const show = () => { rest(); light(from, shares[i]); span.classList.add("here"); };
    for (const event of ["mouseenter", "focus", "click"]) span.addEventListener(event, show);
    for (const event of ["mouseleave", "blur"]) span.addEventListener(event, rest);
    span.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      for (let k = i + step; step && to[k]; k += step) if (to[k].tabIndex === 0) { event.preventDefault(); to[k].focus(); break; }
    });
  });
  from.forEach((span, j) => {
    span.addEventListener("mouseenter", () => { rest(); light(to, shares.map((row) => row[j])); span.classList.add("here"); });
    span.addEventListener("mouseleave", rest);
  });
  rest();
  const hint = long ? "Marked: the sentences it comes from. Point at a word, or move with the arrow keys, to see its own." :
    "Point at a word, or move with Tab and the arrow keys, to see what it comes from.";
  return [el("div", { className: `pair${long ? " tall" : ""}` },
    el("div", {}, el("h2", {}, "Answer"), el("p", { className: "tokens", lang: "" }, ...to)),
    el("div", {}, el("h2", {}, "Source"), el("p", { className: "source tokens", lang: "" }, ...from))),
  el("p", { className: "muted small" }, hint)];
}

/** Tokens as text: the marks of SentencePiece, byte-level BPE, BPE and WordPiece become blanks or go. */
function cleaned(tokens) {
  const marked = tokens.some((t) => /^[\u2581\u0120]/.test(t)), joined = tokens.some((t) => t.endsWith("@@")), ended = tokens.some((t) => t.endsWith("</w>"));
  const pieces = tokens.some((t) => t.startsWith("##")), spaced = tokens.some((t) => /\s/.test(t));
  return tokens.map((token, i) => {
    const clean = token.replaceAll("\u2581", " ").replaceAll("\u0120", " ").replaceAll("\u010a", "\n").replace(/@@$/, "").replace("</w>", " ").replace(/^##/, "");
    if (marked || ended || spaced) return clean;
    const glued = joined ? token.endsWith("@@") : pieces ? tokens[i + 1]?.startsWith("##") : false;
    return glued ? clean : `${clean} `;
  });
}

/** Single tokens, or the sentences of a long text: {text, from, to}. */
function grouped(tokens) {
  const single = tokens.map((text, i) => ({ text, from: i, to: i + 1 }));
  if (tokens.length <= 60) return single;
  const sentences = [];
  for (const { text, from, to } of single) {
    const last = sentences.at(-1);
    if (last && !/[.!?…]["'”’)]?\s*$/.test(last.text)) Object.assign(last, { text: last.text + text, to });
    else sentences.push({ text, from, to });
  }
  return sentences.length > 1 ? sentences : single;
}
