// A language model: a text goes on as it is generated, until it ends or is stopped.
import { ask, attempt, Refused, say } from "./ask.js";
import { byId, el } from "./dom.js";

export function generationForm(spec, options) {
  let running = null;
  const field = el("textarea", { id: "text", placeholder: "How it begins", spellcheck: false, "aria-label": "Beginning",
    onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(); } });
  const button = el("button", { className: "main" }, "Go on from here");

  const send = () => running ? running.abort() : attempt(async () => {
    running = new AbortController();
    button.textContent = "Stop";
    const output = el("span"), shown = el("p", { className: "output writing" }, el("span", { className: "given" }, field.value), output);
    byId("result").replaceChildren(shown);
    byId("result").hidden = false;
    try {
      await stream(output);
    } finally {
      running = null;
      button.textContent = "Go on from here";
      shown.classList.remove("writing");
    }
  });

  const stream = async (output) => {
    const begin = performance.now();
    let first = null, usage = null;
    const response = await ask("/v1/completions", { method: "POST", signal: running.signal, headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: spec.model, prompt: field.value, stream: true, stream_options: { include_usage: true }, ...options.values() }) });
    for await (const event of events(response.body)) {
      if (event.error) throw new Refused(event.error.message);
      first ??= performance.now() - begin;
      usage = event.usage ?? usage;
      output.append(event.choices[0]?.text ?? "");
    }
    const seconds = (performance.now() - begin) / 1000;
    say(`First words after ${Math.round(first)} ms; ${usage.completion_tokens} tokens in ${seconds.toFixed(1)} s, ` +
      `${(usage.completion_tokens / seconds).toFixed(1)} a second.`);
  };

  return el("form", { onsubmit: (event) => { event.preventDefault(); send(); } }, field, options.node,
    el("div", { className: "row" }, button, el("span", { className: "muted small" }, "or Ctrl + Enter")));
}

/** The JSON of a stream of server-sent events, until [DONE]. */
async function* events(body) {
  let text = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.replace(/^data: /, ""));
    }
  }
}
