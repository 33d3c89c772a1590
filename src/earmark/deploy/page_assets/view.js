// What people see and do. All text from files and models is set as text, never as markup.

const TOP = 5;
const THRESHOLD = 0.5;
const MAX_ROWS = 12;
const LIVE_HOP_SECONDS = 0.5;
const COLORS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function unknownNote({ distance }) {
  if (distance === null) return "";
  const side = distance > about.unknown_threshold ? "above" : "not above";
  const text = `Unknown score ${distance.toFixed(3)}, ${side} the threshold of ${about.unknown_threshold.toFixed(3)}`;
  return make("p", { className: "dim" }, text);
}

const percent = (p) => `${(100 * p).toFixed(1)} %`;
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

function bars(probs) {
  const order = probs.map((p, i) => i).sort((a, b) => probs[b] - probs[a]).slice(0, TOP);
  const items = order.map((i) => {
    const fill = make("div", { className: "fill" });
    fill.style.width = `${100 * probs[i]}%`;
    const name = make("span", { className: "name", title: about.class_names[i] }, about.class_names[i]);
    const track = make("div", { className: "track" }, fill);
    return make("li", {}, name, track, make("span", { className: "number" }, percent(probs[i])));
  });
  return make("ol", { className: "bars" }, ...items);
}

function headline({ probs, silent, level, unknown }) {
  if (silent) return make("p", { className: "answer warn" }, `silence (${level.toFixed(0)} dB)`);
  if (unknown) return make("p", { className: "answer warn" }, "probably none of these");
  return make("p", { className: "answer" }, about.class_names[best(probs)]);
}

// 256 colors as the 32-bit numbers of an ImageData.
const PALETTE = Uint32Array.from({ length: 256 }, (_, value) => {
  const x = (value / 255) * (COLORS.length - 1);
  const k = Math.min(Math.floor(x), COLORS.length - 2);
  const [r, g, b] = COLORS[k].map((c, i) => Math.round(c + (x - k) * (COLORS[k + 1][i] - c)));
  return new Uint32Array(Uint8Array.of(r, g, b, 255).buffer)[0];
});

function logMelFigure({ pixels, bins, frames }, seconds) {
  const canvas = make("canvas", { className: "image", width: frames, height: bins, role: "img" });
  canvas.setAttribute("aria-label", "Log-mel spectrogram, low frequencies at the bottom");
  const data = new ImageData(frames, bins);
  const colors = new Uint32Array(data.data.buffer);
  for (let i = 0; i < pixels.length; i++) colors[i] = PALETTE[pixels[i]];
  canvas.getContext("2d").putImageData(data, 0, 0);
  return make("figure", {}, canvas, axis(seconds));
}

function axis(seconds) {
  return make("figcaption", { className: "axis" }, make("span", {}, clock(0)), make("span", {}, clock(seconds)));
}

// One row per class that leads somewhere: the more probable, the stronger the color.
function timelineRows(windows, seconds) {
  const leading = [...new Set(windows.map((w) => best(w.probs)))].slice(0, MAX_ROWS);
  const rows = leading.flatMap((k) => {
    const strip = make("div", { className: "strip" });
    windows.forEach((w, i) => {
      const [from, to] = [i ? midpoint(windows[i - 1], w) : 0, windows[i + 1] ? midpoint(w, windows[i + 1]) : seconds];
      const cell = make("i");
      cell.style.flexGrow = to - from;
      cell.style.opacity = w.silent || w.unknown ? 0 : w.probs[k];
      strip.append(cell);
    });
    return [make("span", { className: "name", title: about.class_names[k] }, about.class_names[k]), strip];
  });
  return rows;
}

const midpoint = (a, b) => (a.start + a.end + b.start + b.end) / 4;

function download(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const oneLine = (text) => text.split(/\s+/).join(" ");
const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;

function labelTrack(events) {
  return events.map((e) => `${e.start.toFixed(6)}\t${e.end.toFixed(6)}\t${oneLine(e.label)}\n`).join("");
}

function windowTable(windows) {
  const head = ["start", "end", "prediction", "probability", "level_dbfs", "silent", "unknown_score", "unknown", ...about.class_names.map((n) => `prob:${n}`)];
  const rows = windows.map((w) => [
    w.start.toFixed(4), w.end.toFixed(4), about.class_names[best(w.probs)], Math.max(...w.probs).toFixed(6),
    w.level.toFixed(1), Number(w.silent), w.distance === null ? "" : w.distance.toFixed(6),
    w.distance === null ? "" : Number(w.unknown), ...w.probs.map((p) => p.toFixed(6)),
  ]);
  return [head, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

function eventTable(events) {
  const cells = (tag, texts, properties = {}) => make("tr", {}, ...texts.map((text) => make(tag, properties, text)));
  const head = cells("th", ["from", "to", "class", "highest"], { scope: "col" });
  const rows = events.map((e) => cells("td", [clock(e.start), clock(e.end), e.label, percent(e.probability)]));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  const box = make("div", { className: "events", tabIndex: 0, role: "region" }, events.length ? table : "No events.");
  box.setAttribute("aria-label", "Events");
  return box;
}

function timelineView(name, windows, seconds) {
  const events = mergeEvents(windows, THRESHOLD);
  const at = make("div");
  const slider = make("input", { type: "range", min: 0, max: windows.length - 1, value: 0 });
  slider.setAttribute("aria-label", "Window");
  slider.oninput = () => {
    const shown = windows[slider.value];
    const span = `${clock(shown.start)} to ${clock(shown.end)}`;
    slider.setAttribute("aria-valuetext", span);
    at.replaceChildren(make("h3", {}, span), headline(shown), bars(shown.probs), unknownNote(shown));
  };
  const rows = make("div", { className: "timeline" }, ...timelineRows(windows, seconds), make("span"), axis(seconds), make("span"), slider);
  const stem = name.replace(/\.[^.]*$/, "");
  const button = (text, onclick) => make("button", { type: "button", onclick }, text);
  const buttons = make("p", { className: "buttons" },
    button("Download labels (Audacity)", () => download(`${stem}.labels.txt`, labelTrack(events))),
    button("Download windows (CSV)", () => download(`${stem}.windows.csv`, windowTable(windows))));
  return make("div", {}, make("h3", {}, "Over time"), rows, at, eventTable(events), buttons);
}

// Plays what was classified, from the memory of the page.
function player(name, source) {
  const audio = make("audio", { controls: true, preload: "metadata", src: URL.createObjectURL(source) });
  audio.setAttribute("aria-label", `Play ${name}`);
  return audio;
}

async function analyze(name, decoded, card) {
  const started = performance.now();
  const waveform = resample(decoded.waveform, decoded.rate, about.sample_rate);
  if (!waveform.length) throw new AudioError(`the file has no sample left at ${about.sample_rate} Hz`);
  const seconds = waveform.length / about.sample_rate;
  if (seconds + 1 / about.sample_rate < about.min_seconds) // resampling may have removed a sample
    throw new AudioError(`${seconds.toFixed(3)} s are too short for an answer; give at least ${Number(about.min_seconds.toPrecision(3))} s`);
  const note = make("p", { className: "dim" });
  const long = seconds > MAX_ANSWER_SECONDS;
  const answer = long ? null : await score(waveform);
  const several = seconds > 1.5 * about.window_seconds;
  if (answer && several) card.append(make("h3", {}, "The whole recording"));
  if (answer) card.append(headline(answer), bars(answer.probs), unknownNote(answer), logMelFigure(answer.image, seconds));
  let windows = null;
  if (several) {
    const meter = make("progress", { max: 1, value: 0 });
    meter.setAttribute("aria-label", "Windows done");
    card.append(meter);
    windows = await scoreWindows(waveform, about.window_seconds / 4, (done) => (meter.value = done));
    meter.replaceWith(timelineView(name, windows, seconds));
  }
  if (seconds > 10 * about.window_seconds)
    card.append(make("p", { className: "warn" }, `The model was trained on clips of ${about.window_seconds.toFixed(1)} s: read the timeline rather than one answer.`));
  note.append(`${seconds.toFixed(2)} s at ${decoded.rate} Hz, answered in ${Math.round(performance.now() - started)} ms`);
  card.append(note);
  return { answer, windows };
}

// `decode` gives the waveform and its rate, or throws an AudioError; `source` is the same recording as a Blob.
async function analyzeInCard(name, decode, source) {
  const card = make("article", { className: "card" }, make("h2", {}, name));
  $("results").prepend(card);
  try {
    const decoded = await decode();
    card.append(player(name, source));
    return await analyze(name, decoded, card);
  } catch (error) {
    if (!(error instanceof AudioError)) console.error(error);
    const reason = error instanceof AudioError ? error.message : "it could not be classified";
    card.append(make("p", { className: "warn" }, `${reason[0].toUpperCase()}${reason.slice(1)}.`));
    return { error: reason };
  }
}

const analyzeBuffer = (name, buffer, source = new Blob(buffer ? [buffer] : [])) =>
  analyzeInCard(name, () => decodeAudio(buffer), source);

async function analyzeFiles(files) {
  const results = [];
  for (const file of files) {
    results.push(await analyzeBuffer(file.name, file.size > MAX_BYTES ? null : await file.arrayBuffer(), file));
  }
  return results;
}

let recording = null;

async function toggleRecording() {
  const button = $("record");
  if (recording) {
    const { stop, rate, blocks } = recording;
    recording = null;
    await stop();
    $("live").hidden = true;
    button.textContent = "Record";
    button.setAttribute("aria-pressed", "false");
    if (!blocks.length) return null;
    const waveform = joined(blocks);
    return analyzeInCard("Recording", () => ({ waveform, rate }), wavOf(waveform, rate));
  }
  const blocks = [];
  button.disabled = true; // a second click while the browser asks would leave the first microphone on
  try {
    recording = { blocks, ...(await startRecording((block) => blocks.push(block))) };
  } catch (error) {
    $("status").textContent = `The microphone is not available (${error.name}).`;
    return null;
  } finally {
    button.disabled = false;
  }
  button.textContent = "Stop";
  button.setAttribute("aria-pressed", "true");
  $("live").hidden = false;
  return followLive();
}

async function followLive() {
  const followed = recording;
  const { blocks, rate } = followed;
  while (recording === followed) {
    const recent = joined(blocks.slice(-Math.ceil((about.window_seconds * rate) / 128)));
    if (recent.length > rate / 4) {
      const clip = new Float32Array(about.window_samples);
      const heard = resample(recent, rate, about.sample_rate).slice(-about.window_samples);
      clip.set(heard);
      const answer = await score(clip, undefined, heard.length);
      $("live").replaceChildren(make("h2", {}, "Listening"), headline(answer), bars(answer.probs), unknownNote(answer), logMelFigure(answer.image, about.window_seconds));
    }
    await new Promise((resume) => setTimeout(resume, 1000 * LIVE_HOP_SECONDS));
  }
}

function describeModel() {
  const entries = [
    ["Classes", about.class_names.join(", ")], ["Expected score", about.expected_score], ["Network", about.architecture],
    ["Input", `${about.sample_rate} Hz, windows of ${about.window_seconds.toFixed(2)} s`], ["Run", about.run_id],
    ["Weights", about.precision], ["Limits", about.unknown_threshold === null ? "It names one of its classes for every sound." : "It may give a class to a sound that is none of its classes."],
  ];
  for (const [term, text] of entries) if (text) $("card").append(make("dt", {}, term), make("dd", {}, text));
}

function connect() {
  $("choose").onclick = () => $("files").click();
  $("files").onchange = async (event) => {
    await analyzeFiles(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  };
  $("record").onclick = toggleRecording;
  const over = (on) => (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", on);
  };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    analyzeFiles(event.dataTransfer.files);
  });
}

describeModel();
connect();
const ready = session.then(
  () => {
    $("status").textContent = `Ready in ${(performance.now() / 1000).toFixed(1)} s`;
    return performance.now();
  },
  (error) => {
    console.error(error);
    $("status").textContent = "The model could not be loaded in this browser.";
    throw error;
  },
);
globalThis.earmarkPage = { ready, analyzeBuffer, toggleRecording, about };
