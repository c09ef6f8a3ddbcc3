// Requests to this server: with the token where one is needed, and what went wrong in one line.
import { byId, el } from "./dom.js";

const KEY = "fieldwork-token";

export class Refused extends Error {}

/** fetch with the token; asks for it, and again, where the server wants one. Throws Refused. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...(options.headers ?? {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("The server does not answer. Is it still running?");
    }
    if (response.ok) return response;
    if (response.status !== 401) {
      const said = await response.json().catch(() => ({}));
      throw new Refused(said.error?.message ?? said.error ?? `${response.status} ${response.statusText}`);
    }
    sessionStorage.setItem(KEY, await wanted(token !== null));
  }
}

function wanted(again) {
  return new Promise((resolve) => {
    const place = byId("token"), field = el("input", { type: "password", autocomplete: "off", required: true });
    place.replaceChildren(el("form", { className: "card row", onsubmit: (event) => {
      event.preventDefault();
      place.hidden = true;
      place.replaceChildren();
      resolve(field.value.trim());
    } }, el("label", { className: "field grow" }, again ? "That was not the token. This server's token:" : "This server's token:", field),
    el("button", { className: "main" }, "Go on")));
    place.hidden = false;
    field.focus();
  });
}

/** One prediction: the JSON answer. Shows how long it took. */
export async function predict(model, form, signal) {
  const begin = performance.now();
  const response = await ask(`/predict/${encodeURIComponent(model)}`, { method: "POST", body: form, signal });
  const answer = await response.json();
  showLatency(performance.now() - begin, response.headers.get("server-timing") ?? "");
  return answer;
}

function showLatency(total, timing) {
  const of = Object.fromEntries([...timing.matchAll(/(\w+);(?:dur=([\d.]+)|desc="(\d+)")/g)].map((m) => [m[1], +(m[2] ?? m[3])]));
  const ms = (x) => `${x < 10 ? x.toFixed(1) : Math.round(x)} ms`;
  byId("latency").textContent = `${ms(total)} from here to here: ${ms(of.prepare)} to prepare, ${ms(of.wait)} in the queue, ` +
    `${ms(of.run)} on the device, in a batch of ${of.batch}.`;
}

export const say = (text) => { byId("latency").textContent = text; };

/** Runs something; what goes wrong is shown, and what went wrong before is not any more. */
export async function attempt(action) {
  const alert = byId("alert");
  alert.hidden = true;
  document.body.classList.add("busy");
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") {
      alert.textContent = error instanceof Refused ? error.message : `${error.name}: ${error.message}`;
      alert.hidden = false;
      if (!(error instanceof Refused)) console.error(error);
    }
  } finally {
    document.body.classList.remove("busy");
  }
}

/** A form for /predict. */
export function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}
