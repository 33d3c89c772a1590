// The microphone as blocks of samples. The worklet comes as a data: URL, because the page loads nothing from elsewhere.

const WORKLET = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input.length) this.port.postMessage(input[0].slice()); return true; } });`;

async function startRecording(onBlock) {
  const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
  const context = new AudioContext();
  await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(WORKLET)}`);
  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 1 });
  tap.port.onmessage = (message) => onBlock(message.data);
  context.createMediaStreamSource(stream).connect(tap).connect(context.destination);
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  };
  return { rate: context.sampleRate, stop };
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
