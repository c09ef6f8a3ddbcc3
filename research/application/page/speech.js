// Sound: recorded or chosen; its words light up as they are heard, or its labels.
import { attempt, formOf, predict } from "./ask.js";
import { byId, colour, el, fileButton, takeDrops } from "./dom.js";
import { key, labelList } from "./labels.js";
import { mono, toWav } from "./wav.js";

const READ = /\.(wav|flac|mp3|ogg|oga|opus)$/i; // by the server; the rest the browser turns into WAV

export function speechForm(spec, options) {
  const rate = spec.sample_rate ?? 16000;
  let current = null;

  const send = (file, target) => attempt(async () => {
    const sound = READ.test(file.name ?? "") ? file : await toWav(file, rate);
    current = file;
    const explain = spec.explains ? { explain: 1, ...(target ? { target } : {}) } : {};
    const answer = await predict(spec.model, formOf({ file: sound, ...options.values(), ...explain }));
    await show(answer, sound, target);
  });

  const show = async (answer, sound, target) => {
    const audio = el("audio", { controls: true, src: URL.createObjectURL(sound) });
    const wave = el("canvas", { className: "wave", width: 1200, height: 168, role: "img", "aria-label": "The sound over time" });
    const why = answer.explanation;
    let samples = new Float32Array(0);
    try {
      samples = mono(await new OfflineAudioContext(1, 1, rate).decodeAudioData(await sound.arrayBuffer()));
    } catch { /* the browser does not play this format: the words are there all the same */ }
    const parts = [wave, audio];
    if (answer.words) parts.push(words(answer, audio));
    if (answer.labels) {
      const label = why?.label ?? target ?? answer.labels[0].label;
      parts.push(...(why ? [key(why.method, label)] : []), labelList(answer.labels, {
        chosen: label, onchoose: spec.explains ? (name) => send(current, name) : null }));
    }
    if (answer.truncated) parts.push(el("p", { className: "muted small" }, answer.truncated));
    byId("result").replaceChildren(...parts);
    byId("result").hidden = false;
    draw(wave, samples, samples.length / rate, answer.words ?? [], why?.map);
    follow(audio, wave, samples, rate, answer, why?.map);
  };

  const recorder = recordButton((blob) => send(blob));
  const drop = el("div", { className: "drop" }, recorder.node,
    el("span", { className: "muted small" }, "Speak, drop a recording here, or choose one. It goes to this server only, and is not kept."));
  takeDrops(drop, "audio/", (file) => send(file));
  return el("div", {}, drop, el("div", { className: "row" }, fileButton("Choose a recording", "audio/*", send)), options.node);
}

/** A button that records until it is pressed again; shows how long and how loud. */
function recordButton(onsound) {
  const level = el("span"), meter = el("span", { className: "meter", hidden: true }, level);
  const button = el("button", { type: "button", className: "main", onclick: () => attempt(toggle) }, "Record");
  let running = null;
  const toggle = async () => {
    if (running) return running.stop();
    if (!navigator.mediaDevices) throw new Error("this browser gives a microphone only to pages from this machine or over https");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const context = new AudioContext(), analyser = context.createAnalyser(), pieces = [], begin = performance.now();
    context.createMediaStreamSource(stream).connect(analyser);
    const values = new Float32Array(analyser.fftSize);
    running = new MediaRecorder(stream);
    running.ondataavailable = (event) => pieces.push(event.data);
    running.onstop = () => {
      const type = running.mimeType;
      running = null;
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      button.textContent = "Record";
      button.classList.remove("live");
      meter.hidden = true;
      onsound(new Blob(pieces, { type }));
    };
    running.start();
    button.classList.add("live");
    meter.hidden = false;
    const tick = () => {
      if (!running) return;
      analyser.getFloatTimeDomainData(values);
      level.style.width = `${Math.min(100, 300 * Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length))}%`;
      button.textContent = `Stop (${((performance.now() - begin) / 1000).toFixed(1)} s)`;
      requestAnimationFrame(tick);
    };
    tick();
  };
  return { node: el("div", { className: "row tight" }, button, meter) };
}

/** The words as buttons: pressed, the sound goes on from there. */
function words(answer, audio) {
  const buttons = answer.words.map((word) => el("button", { type: "button", title: `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s`,
    onclick: () => { audio.currentTime = word.start; audio.play(); } }, word.word));
  const shown = buttons.flatMap((button) => [button, " "]);
  return el("p", { className: "words" }, ...(shown.length ? shown : [answer.text || "(nothing was said)"]));
}

/** Lights up the word that is heard, and moves the line over the wave. */
function follow(audio, wave, samples, rate, answer, map) {
  const buttons = [...byId("result").querySelectorAll(".words button")];
  const mark = () => {
    const now = audio.currentTime, begun = now > 0;
    (answer.words ?? []).forEach((word, i) => {
      buttons[i]?.classList.toggle("now", begun && now >= word.start && now < word.end);
      buttons[i]?.classList.toggle("coming", begun && now < word.start);
    });
    draw(wave, samples, samples.length / rate, answer.words ?? [], map, begun ? now : null);
  };
  const run = () => {
    if (!audio.isConnected) return URL.revokeObjectURL(audio.src);
    mark();
    if (!audio.paused) requestAnimationFrame(run);
  };
  for (const event of ["play", "seeked", "timeupdate", "ended"]) audio.addEventListener(event, run);
}

/** The sound's outline; under it the words' spans, or the explanation's strength. */
function draw(canvas, samples, seconds, spans, map, now = null) {
  const context = canvas.getContext("2d"), { width, height } = canvas, rgb = (name, alpha) => `rgb(${colour(name).join(" ")} / ${alpha})`;
  context.clearRect(0, 0, width, height);
  context.fillStyle = rgb("--for", 0.18);
  for (const { start, end } of spans) context.fillRect(start / seconds * width, 0, Math.max((end - start) / seconds * width, 2), height);
  const most = Math.max(...(map ?? []).map(Math.abs), 1e-12);
  (map ?? []).forEach((value, i) => {
    context.fillStyle = rgb(value < 0 ? "--against" : "--for", 0.6 * Math.abs(value) / most);
    context.fillRect(i / map.length * width, 0, width / map.length + 1, height);
  });
  context.fillStyle = rgb("--against", 0.9);
  const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-4), edge = (x) => Math.floor(x / width * samples.length);
  for (let x = 0; x < width && samples.length; x++) {
    let top = 0;
    for (let i = edge(x); i < edge(x + 1); i++) top = Math.max(top, Math.abs(samples[i]));
    const tall = Math.max(1, top / peak * height * 0.9);
    context.fillRect(x, (height - tall) / 2, 1, tall);
  }
  if (now !== null) {
    context.fillStyle = rgb("--text", 1);
    context.fillRect(now / seconds * width - 1, 0, 3, height);
  }
}
