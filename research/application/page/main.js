// The page: which models there are, the form of the chosen one, its card.
import { ask, attempt } from "./ask.js";
import { prose } from "./card.js";
import { byId, el, optionFields } from "./dom.js";
import { generationForm } from "./generation.js";
import { imageForm } from "./image.js";
import { speechForm } from "./speech.js";
import { textForm } from "./text.js";

const FORMS = { image: imageForm, audio: speechForm, text: textForm };

function choose(models, spec) {
  for (const button of byId("models").children) button.setAttribute("aria-pressed", String(button.dataset.model === spec.model));
  document.title = `${spec.name} – Fieldwork`;
  byId("title").textContent = spec.title || spec.name;
  byId("about").textContent = [spec.name, spec.kind.replaceAll("-", " "), spec.labels ? `${spec.labels.length} labels` : "",
    spec.weights ? `${spec.weights} weights` : ""].filter(Boolean).join(" · ");
  byId("alert").hidden = byId("result").hidden = true;
  byId("latency").textContent = "";
  const options = optionFields(spec.options ?? {});
  byId("form").replaceChildren((spec.kind === "text-generation" ? generationForm : FORMS[spec.inputs.type])(spec, options));
  byId("api").querySelector("pre").textContent = example(spec);
  const card = byId("card");
  card.open = false;
  card.ontoggle = () => card.open && attempt(async () => {
    card.querySelector(".prose").replaceChildren(...prose(await (await ask(`/models/${encodeURIComponent(spec.model)}/card`)).text()));
  });
  history.replaceState(null, "", models.length > 1 ? `#${encodeURIComponent(spec.model)}` : location.pathname);
}

function example(spec) {
  const address = `${location.origin}/predict/${spec.model}`;
  if (spec.kind === "text-generation") return `curl ${location.origin}/v1/completions --json '{"model": "${spec.model}", "prompt": "…"}'`;
  return spec.inputs.type === "text" ? `curl ${address} --json '{"text": "…"}'` : `curl ${address} -F file=@FILE`;
}

attempt(async () => {
  const { models } = await (await ask("/models")).json();
  const nav = byId("models");
  nav.append(...models.map((spec) => el("button", { type: "button", "data-model": spec.model, onclick: () => choose(models, spec) }, spec.name)));
  nav.hidden = models.length < 2;
  const named = () => models.find((spec) => spec.model === decodeURIComponent(location.hash.slice(1)));
  choose(models, named() ?? models[0]);
  addEventListener("hashchange", () => named() && choose(models, named()));
});
