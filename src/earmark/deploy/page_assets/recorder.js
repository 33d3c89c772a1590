// The microphone as blocks of samples. The worklet comes as a data: URL, because the page loads nothing from elsewhere.

const WORKLET = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input.length) this.port.postMessage(input[0].slice()); return true; } });`;

async function startRecording(onBlock) {
  const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
  const context = new AudioContext();
  await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(WORKLET)}`);
  // a microphone with two channels gives their mean, as a file does
  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" });
  tap.port.onmessage = (message) => onBlock(message.data);
  context.createMediaStreamSource(stream).connect(tap).connect(context.destination);
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  };
  return { rate: context.sampleRate, stop };
}

// A WAV of 16 bits, which every browser plays.
function wavOf(waveform, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  const size = 2 * waveform.length;
  ["RIFF", "WAVE", "fmt ", "data"].forEach((name, i) => text([0, 8, 12, 36][i], name));
  [[4, 36 + size], [16, 16], [24, rate], [28, 2 * rate], [40, size]].forEach(([at, value]) => head.setUint32(at, value, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([at, value]) => head.setUint16(at, value, true));
  const samples = Int16Array.from(waveform, (x) => 32767 * Math.max(-1, Math.min(1, x)));
  return new Blob([head, samples], { type: "audio/wav" });
}

function joined(blocks) {
  const result = new Float32Array(blocks.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    result.set(block, at);
    at += block.length;
  }
  return result;
}
