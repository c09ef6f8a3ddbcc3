// An image: dropped, chosen, pasted or taken; its labels, and over it where they come from.
import { attempt, formOf, predict } from "./ask.js";
import { byId, colour, el, fileButton, takeDrops } from "./dom.js";
import { key, labelList } from "./labels.js";

export function imageForm(spec, options) {
  let file = null, address = null, strength = 0.7;

  const send = (chosen, target) => attempt(async () => {
    file = chosen;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    const asked = { file, ...options.values(), ...(spec.explains ? { explain: 1, ...(target ? { target } : {}) } : {}) };
    show(await predict(spec.model, formOf(asked)), target);
  });

  const show = (answer, target) => {
    const why = answer.explanation, label = why?.label ?? target ?? answer.labels[0].label;
    const image = el("img", { src: answer.picture ?? address, alt: "your picture, as the network sees it" });
    const view = el("div", { className: "view" }, image);
    image.addEventListener("load", () => view.classList.toggle("fine", image.naturalWidth >= 160));
    const left = el("div", {}, view);
    if (why) {
      const layer = overlay(why.map);
      layer.style.opacity = strength;
      view.append(layer);
      const slider = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: strength, "aria-label": "How strong the explanation is drawn",
        oninput: () => { layer.style.opacity = strength = slider.value; } });
      left.append(key(why.method, label), el("div", { className: "key small muted" }, "explanation ", slider));
    }
    byId("result").replaceChildren(el("div", { className: "two" }, left, el("div", {},
      el("h2", {}, spec.explains ? "What it is, and why (choose a label)" : "What it is"),
      labelList(answer.labels, { chosen: label, onchoose: spec.explains ? (name) => send(file, name) : null }))));
    byId("result").hidden = false;
  };

  const drop = el("label", { className: "drop" },
    el("input", { type: "file", accept: "image/*", onchange: (event) => {
      if (event.target.files.length) send(event.target.files[0]);
      event.target.value = "";
    } }),
    el("span", {}, el("b", {}, "Choose a picture"), ", drop it here or paste it"),
    el("span", { className: "muted small" }, "It goes to this server only, and is not kept."));
  takeDrops(drop, "image/", (chosen) => send(chosen));
  const place = el("div");
  const camera = matchMedia("(pointer: coarse)").matches // a phone's own camera is better than a page's
    ? fileButton("Take a picture", "image/*", (chosen) => send(chosen), { capture: "environment" })
    : el("button", { type: "button", onclick: () => attempt(() => openCamera(place, send)) }, "Take a picture");
  return el("div", {}, drop, el("div", { className: "row" }, camera), place, options.node);
}

/** The camera's picture, until one is taken. */
async function openCamera(place, send) {
  if (!navigator.mediaDevices) throw new Error("this browser gives a camera only to pages from this machine or over https");
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  const video = el("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const close = () => { stream.getTracks().forEach((track) => track.stop()); place.replaceChildren(); };
  const take = async () => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
    close();
    send(new File([blob], "camera.jpg", { type: blob.type }));
  };
  place.replaceChildren(el("div", { className: "row" }, video), el("div", { className: "row" },
    el("button", { type: "button", className: "main", onclick: () => attempt(take) }, "This one"),
    el("button", { type: "button", onclick: close }, "Close the camera")));
}

/** A map as a canvas: one colour for, one against, opaque where it is strongest. */
function overlay(map) {
  const height = map.length, width = map[0].length, canvas = el("canvas", { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const flat = map.flat(), size = flat.map(Math.abs).sort((a, b) => a - b);
  const most = size[Math.floor(0.995 * (size.length - 1))] || size.at(-1) || 1; // a single extreme pixel would hide the rest
  const colours = [colour("--for"), colour("--against")];
  flat.forEach((value, i) => {
    image.data.set(colours[value < 0 ? 1 : 0], 4 * i);
    image.data[4 * i + 3] = 255 * Math.min(Math.abs(value) / most, 1);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}
