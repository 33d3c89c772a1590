// From the bytes of a file to a mono waveform at the rate of the model.
// WAV is decoded here; other formats are decoded by the browser at the file's own rate, read from its header, because
// the browser's resampler differs from the one that the model was trained with.

const MAX_BYTES = 600e6;
const MAX_SECONDS = 7200;
const UNKNOWN_BYTES = 0x7fff0000; // at least this is the size that a pipe writes into a header
const CUT_SHORT = "the file is cut short; fetch it again";
const ZERO_CROSSINGS = 90; // per side of the kernel
const KERNEL_STEPS = 1024; // entries of the kernel table per zero crossing
const CUTOFF = 0.9565; // half of the passband's end (0.913) and the stopband's start (1), as soxr's HQ
const KAISER_BETA = 12.3; // 120 dB

class AudioError extends Error {}

function ascii(view, offset, length) {
  if (offset + length > view.byteLength) return "";
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(view.getUint8(offset + i));
  return text;
}

// `buffer` is null for a file of more than MAX_BYTES, which was not read.
async function decodeAudio(buffer) {
  if (!buffer) throw new AudioError("the file is larger than 600 MB");
  if (!buffer.byteLength) throw new AudioError("the file is empty");
  const view = new DataView(buffer);
  const found = ascii(view, 0, 4) === "RIFF" ? decodeWav(view) : await decodeOther(view, buffer);
  if (!found.waveform.length) throw new AudioError("the file has no samples");
  if (found.waveform.length / found.rate > MAX_SECONDS) throw new AudioError("the recording is longer than two hours");
  for (let i = 0; i < found.waveform.length; i++)
    if (!Number.isFinite(found.waveform[i])) throw new AudioError("the file has samples that are not finite");
  return found;
}

function decodeWav(view) {
  if (ascii(view, 8, 4) !== "WAVE") throw new AudioError("the file is not a WAV file");
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const name = ascii(view, at, 4);
    const size = view.getUint32(at + 4, true);
    if (name === "fmt " && size >= 16 && at + 24 <= view.byteLength) format = readWavFormat(view, at + 8, size);
    if (name === "data") {
      if (!format) throw new AudioError("the WAV does not say its format");
      const found = Math.min(size, view.byteLength - at - 8);
      if (size < UNKNOWN_BYTES && found < 0.99 * size) throw new AudioError(CUT_SHORT);
      return { waveform: readWavSamples(view, at + 8, found, format), rate: format.rate };
    }
    at += 8 + size + (size % 2);
  }
  throw new AudioError("the WAV has no samples");
}

function readWavFormat(view, at, size) {
  let tag = view.getUint16(at, true);
  if (tag === 0xfffe && size >= 26 && at + 26 <= view.byteLength) tag = view.getUint16(at + 24, true);
  const format = { tag, channels: view.getUint16(at + 2, true), rate: view.getUint32(at + 4, true), bits: view.getUint16(at + 14, true) };
  if (!format.channels || format.rate < 100) throw new AudioError("the WAV has no channels or no rate");
  return format;
}

function readWavSamples(view, start, size, { tag, channels, bits }) {
  const readers = {
    "1/8": (at) => (view.getUint8(at) - 128) / 128,
    "1/16": (at) => view.getInt16(at, true) / 32768,
    "1/24": (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608,
    "1/32": (at) => view.getInt32(at, true) / 2147483648,
    "3/32": (at) => view.getFloat32(at, true),
    "3/64": (at) => view.getFloat64(at, true),
  };
  const read = readers[`${tag}/${bits}`];
  if (!read) throw new AudioError(`WAV of encoding ${tag} with ${bits} bits is not read here; convert it to PCM`);
  const width = bits / 8;
  const waveform = new Float32Array(Math.floor(size / width / channels));
  for (let i = 0; i < waveform.length; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += read(start + (i * channels + c) * width);
    waveform[i] = sum / channels;
  }
  return waveform;
}

async function decodeOther(view, buffer) {
  const rate = rateOfHeader(view);
  if (!rate) throw new AudioError("the file is not audio of a known kind (WAV, FLAC, Ogg, MP3)");
  if (endsInsidePage(view)) throw new AudioError(CUT_SHORT);
  const promised = promisedSamples(view); // decoding takes the buffer away
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer);
  } catch {
    throw new AudioError("the browser cannot decode the file; convert it to WAV");
  }
  if (decoded.length < 0.9 * promised) throw new AudioError(CUT_SHORT);
  const waveform = new Float32Array(decoded.length);
  for (let c = 0; c < decoded.numberOfChannels; c++) {
    const channel = decoded.getChannelData(c);
    for (let i = 0; i < waveform.length; i++) waveform[i] += channel[i] / decoded.numberOfChannels;
  }
  return { waveform, rate: decoded.sampleRate };
}

// The sampling rate that a FLAC, Ogg, or MP3 file states, or 0.
function rateOfHeader(view) {
  if (ascii(view, 0, 4) === "fLaC") return flacRate(view, 8);
  if (ascii(view, 0, 4) === "OggS") return oggRate(view);
  return mp3Rate(view);
}

// The samples per channel that a FLAC, or the Xing header of an MP3, promises; 0 where nothing is promised.
function promisedSamples(view) {
  if (ascii(view, 0, 4) === "OggS") return 0;
  if (ascii(view, 0, 4) === "fLaC") return view.byteLength < 26 ? 0 : (view.getUint8(21) & 15) * 2 ** 32 + view.getUint32(22);
  const frame = mp3Frame(view);
  const at = frame.at + 4 + { 3: [32, 17], 2: [17, 9], 0: [17, 9] }[frame.version][Number(frame.mono)];
  const counts = ["Xing", "Info"].includes(ascii(view, at, 4)) && at + 12 <= view.byteLength && view.getUint32(at + 4) & 1;
  return counts ? view.getUint32(at + 8) * (frame.version === 3 ? 1152 : 576) : 0;
}

// Whether the last page of an Ogg file is not whole, as `ogg_problem` in limits.py.
function endsInsidePage(view) {
  if (ascii(view, 0, 4) !== "OggS") return false;
  let at = view.byteLength - 4;
  while (at > 0 && ascii(view, at, 4) !== "OggS") at--;
  if (at + 27 > view.byteLength || at + 27 + view.getUint8(at + 26) > view.byteLength) return true;
  let end = at + 27 + view.getUint8(at + 26);
  for (let i = at + 27, last = end; i < last; i++) end += view.getUint8(i);
  return end > view.byteLength;
}

function flacRate(view, at) {
  return at + 14 <= view.byteLength ? (view.getUint16(at + 10) << 4) | (view.getUint8(at + 12) >> 4) : 0;
}

function oggRate(view) {
  const at = view.byteLength > 27 ? 27 + view.getUint8(26) : 0;
  if (ascii(view, at, 7) === "\u0001vorbis" && at + 16 <= view.byteLength) return view.getUint32(at + 12, true);
  if (ascii(view, at, 8) === "OpusHead") return 48000;
  return ascii(view, at, 5) === "\u007fFLAC" ? flacRate(view, at + 17) : 0;
}

function mp3Rate(view) {
  const frame = mp3Frame(view);
  return frame ? [44100, 48000, 32000][frame.rate] / { 3: 1, 2: 2, 0: 4 }[frame.version] : 0;
}

// The first frame of an MP3, or null.
function mp3Frame(view) {
  let at = 0;
  if (ascii(view, 0, 3) === "ID3" && view.byteLength > 10)
    at = 10 + [6, 7, 8, 9].reduce((size, i) => (size << 7) | (view.getUint8(i) & 127), 0);
  const last = Math.min(view.byteLength - 4, at + 65536);
  for (; at < last; at++) {
    const head = view.getUint32(at);
    if (head >>> 21 !== 0x7ff) continue;
    const [version, layer, bitrate, rate] = [(head >>> 19) & 3, (head >>> 17) & 3, (head >>> 12) & 15, (head >>> 10) & 3];
    if (version !== 1 && layer !== 0 && bitrate !== 15 && rate !== 3) return { at, version, rate, mono: ((head >>> 6) & 3) === 3 };
  }
  return null;
}

let kernel = null;

// Half of a sinc with a Kaiser window, KERNEL_STEPS entries per zero crossing.
function kernelTable() {
  if (kernel) return kernel;
  const bessel = (x) => {
    let [sum, term] = [1, 1];
    for (let k = 1; k < 60; k++) sum += term *= (x / (2 * k)) ** 2;
    return sum;
  };
  kernel = new Float64Array(ZERO_CROSSINGS * KERNEL_STEPS + 2);
  const top = bessel(KAISER_BETA);
  for (let i = 0; i <= ZERO_CROSSINGS * KERNEL_STEPS; i++) {
    const x = i / KERNEL_STEPS;
    const sinc = i ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
    kernel[i] = (sinc * bessel(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (x / ZERO_CROSSINGS) ** 2)))) / top;
  }
  return kernel;
}

function resample(waveform, rate, target) {
  if (rate === target) return waveform;
  const table = kernelTable();
  const scale = Math.min(1, target / rate) * CUTOFF;
  const reach = ZERO_CROSSINGS / scale;
  const result = new Float32Array(Math.round((waveform.length * target) / rate));
  for (let i = 0; i < result.length; i++) {
    const center = (i * rate) / target;
    const first = Math.max(0, Math.ceil(center - reach));
    const last = Math.min(waveform.length - 1, Math.floor(center + reach));
    let sum = 0;
    for (let n = first; n <= last; n++) {
      const position = Math.abs(n - center) * scale * KERNEL_STEPS;
      const k = position | 0;
      sum += waveform[n] * (table[k] + (position - k) * (table[k + 1] - table[k]));
    }
    result[i] = sum * scale;
  }
  return result;
}
