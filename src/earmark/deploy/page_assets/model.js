// The model and its runtime, unpacked from this page; nothing is fetched.

const about = JSON.parse(document.getElementById("about").textContent);
const MAX_ANSWER_SECONDS = 120; // longer recordings are answered window by window only

async function unpack(id) {
  const element = document.getElementById(id);
  const text = atob(element.textContent);
  element.remove();
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function openSession() {
  const [runtime, model] = await Promise.all([unpack("runtime"), unpack("model")]);
  ort.env.wasm.wasmBinary = runtime;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

const session = openSession();

// Scores of one clip: probabilities, level in dB, unknown score and the image with its shape. The level is that of the
// first `recorded` samples, without the zeros that fill the clip up.
async function score(waveform, wanted = ["probabilities", "level_dbfs", "image"], recorded = waveform.length) {
  const input = new ort.Tensor("float32", waveform, [1, waveform.length]);
  const tells = about.unknown_threshold !== null;
  const output = await (await session).run({ waveform: input }, tells ? [...wanted, "unknown"] : wanted);
  const level = output.level_dbfs.data[0] + 10 * Math.log10(waveform.length / recorded);
  const distance = tells ? output.unknown.data[0] : null;
  const silent = level < about.silence_dbfs;
  return {
    probs: Array.from(output.probabilities.data),
    level,
    silent,
    distance,
    unknown: silent || (tells && distance > about.unknown_threshold),
    image: output.image && { pixels: output.image.data, bins: output.image.dims[1], frames: output.image.dims[2] },
  };
}

// One answer per window, as `Model.predict_windows` gives; `progress` is called with each.
async function scoreWindows(waveform, hopSeconds, progress) {
  const [length, rate] = [about.window_samples, about.sample_rate];
  const hop = Math.max(1, Math.round(hopSeconds * rate));
  const windows = [];
  for (let first = 0, covered = 0; first === 0 || (covered < waveform.length && first < waveform.length); first += hop) {
    const clip = new Float32Array(length);
    clip.set(waveform.subarray(first, first + length));
    const recorded = Math.min(length, waveform.length - first);
    const answer = await score(clip, ["probabilities", "level_dbfs"], recorded);
    windows.push({ ...answer, start: first / rate, end: (first + recorded) / rate });
    covered = first + length;
    progress(covered / waveform.length, windows);
    await new Promise((resume) => setTimeout(resume));
  }
  return windows;
}

function best(probs) {
  return probs.reduce((k, p, i) => (p > probs[k] ? i : k), 0);
}

// Neighboring windows with one label as events, as `merge_events` in events.py, without what is none of the classes.
function mergeEvents(windows, threshold) {
  const events = [];
  let [current, before] = [null, null];
  const center = (w) => (w.start + w.end) / 2;
  windows.forEach((w, i) => {
    const following = windows[i + 1];
    const boundary = following ? (center(w) + center(following)) / 2 : w.end;
    const [start, end] = [before === null ? w.start : Math.max(before, w.start), Math.min(boundary, w.end)];
    const k = best(w.probs);
    const active = !w.silent && !w.unknown && w.probs[k] >= threshold;
    if (current && active && current.k === k && start <= current.end + 1e-9) {
      current.end = end;
      current.probability = Math.max(current.probability, w.probs[k]);
    } else {
      current = active ? { start, end, k, label: about.class_names[k], probability: w.probs[k] } : null;
      if (current) events.push(current);
    }
    before = boundary;
  });
  return events;
}
