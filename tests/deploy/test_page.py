"""The page with a model inside: what is in the file, and what a headless Chromium makes of it."""

import base64
import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import browser as browser_module
from browser import CHROMIUM, DRIVER, open_browser
from deploy_audio import CLASS_NAMES, make_waveform
from earmark.cli.arguments import check_arguments
from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.deploy.page import BrowserRuntime, as_inline_module, build_page, read_runtime, write_page

RUNTIME = os.environ.get("EARMARK_ORT_WEB", "")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and RUNTIME),
    reason="needs chromium, chromedriver and EARMARK_ORT_WEB, the .tgz of `npm pack onnxruntime-web@1.30.0`",
)
FAKE_MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FAKE_RUNTIME = BrowserRuntime("const a=1;export{a as Tensor,a as default};\n//# sourceMappingURL=x.map", b"\0asm")


def test_scripts_and_style_are_the_only_ones_allowed(exported):
    page = build_page(exported, FAKE_RUNTIME)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert policy.startswith("default-src 'none'; ")
    inline = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL) + re.findall(
        r"<style>(.*?)</style>", page, re.DOTALL
    )
    assert len(inline) == 3
    for text in inline:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_page_can_be_exported_again(exported, tmp_path):
    path = tmp_path / "page.html"
    write_page(exported, FAKE_RUNTIME, path)
    check_arguments("export", {"output": path})


def test_labels_stay_text(exported):
    page = build_page(exported, FAKE_RUNTIME)
    about = re.search(r'id="about">(.*?)</script>', page).group(1)
    assert json.loads(about)["class_names"] == list(CLASS_NAMES)
    assert "<script>" not in about


def test_exports_of_a_module_become_a_global():
    assert as_inline_module(FAKE_RUNTIME.script) == "const a=1;globalThis.ort={Tensor:a,default:a};\n"


def test_a_runtime_that_was_not_tested_is_refused(tmp_path):
    with pytest.raises(DeployError, match=r"holds no ort\.wasm\.bundle.* .*npm pack onnxruntime-web@1"):
        read_runtime(tmp_path)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("package/dist/ort.wasm.bundle.min.mjs")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"other"))
    with pytest.raises(DeployError, match="is not that of onnxruntime-web 1"):
        read_runtime(tmp_path / "a.tgz")
    (tmp_path / "b.tgz").write_bytes(b"no archive")
    with pytest.raises(DeployError, match="holds no"):
        read_runtime(tmp_path / "b.tgz")


@pytest.fixture(scope="module")
def tab():
    arguments = browser_module.ARGUMENTS
    browser_module.ARGUMENTS = [*arguments, *FAKE_MICROPHONE]
    try:
        with open_browser() as opened:
            yield opened
    finally:
        browser_module.ARGUMENTS = arguments


@pytest.fixture(scope="module")
def page(exported, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(exported, read_runtime(Path(RUNTIME)), path)
    return path


def opened(tab, page, **view):
    tab.open(page, **view)
    tab.run("return earmarkPage.ready")
    return tab


def ask(tab, content: bytes, name="clip.wav"):
    text = json.dumps(base64.b64encode(content).decode())
    script = f"""const bytes = Uint8Array.from(atob({text}), c => c.charCodeAt(0));
        return earmarkPage.analyzeBuffer({json.dumps(name)}, bytes.buffer).then(r => JSON.stringify(
            {{ error: r.error, probs: r.answer?.probs, silent: r.answer?.silent, windows: r.windows }}))"""
    return json.loads(tab.run(script))


def encoded(waveform, rate, kind="WAV", subtype="PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind, subtype=subtype)
    return file.getvalue()


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_page_loads_without_errors_requests_or_sideways_scrolling(tab, page, width, dark):
    opened(tab, page, width=width, dark=dark)
    ask(tab, encoded(make_waveform(9000), 8000))
    assert tab.logs("browser") == []
    requests = [address for address in tab.requests() if not address.startswith("blob:")]  # those are in its memory
    assert requests == [page.resolve().as_uri()]
    assert tab.run("return document.documentElement.scrollWidth <= innerWidth")


WAV_ENCODINGS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
OTHERS = [("WAVEX", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")]


@needs_browser
@pytest.mark.parametrize(("kind", "subtype"), [*(("WAV", encoding) for encoding in WAV_ENCODINGS), *OTHERS])
def test_page_answers_as_python_does(tab, page, run_folder, tmp_path, kind, subtype):
    opened(tab, page)
    stereo = np.stack([make_waveform(2400, 1), make_waveform(2400, 2)], axis=1)
    content = encoded(stereo, 8000, kind, subtype)
    (tmp_path / "clip").write_bytes(content)
    expected = load(run_folder).predict(tmp_path / "clip")
    np.testing.assert_allclose(ask(tab, content)["probs"], expected.probs, atol=1e-4 if kind != "OGG" else 1e-3)


@needs_browser
@pytest.mark.parametrize("rate", [5512, 11025, 44100, 48000])
def test_page_resamples_as_python_does(tab, page, run_folder, rate):
    opened(tab, page)
    waveform = soxr.resample(make_waveform(3000), 8000, rate).astype(np.float32)
    expected = load(run_folder).predict(waveform, rate)
    answer = ask(tab, encoded(waveform, rate, subtype="FLOAT"))
    np.testing.assert_allclose(answer["probs"], expected.probs, atol=4e-4)


@needs_browser
def test_page_has_the_windows_of_python(tab, page, run_folder):
    opened(tab, page)
    waveform = make_waveform(9000)
    model = load(run_folder)
    expected = list(model.predict_windows(waveform, 8000, hop_seconds=model.info.window_seconds / 4))
    windows = ask(tab, encoded(waveform, 8000, subtype="FLOAT"))["windows"]
    assert [w["start"] for w in windows] == pytest.approx([w.start for w in expected])
    assert [w["end"] for w in windows] == pytest.approx([w.end for w in expected])
    np.testing.assert_allclose([w["probs"] for w in windows], [w.probs for w in expected], atol=1e-4)
    assert expected[-1].end - expected[-1].start < model.info.window_seconds, "the last one is filled up"
    np.testing.assert_allclose([w["level"] for w in windows], [w.level_dbfs for w in expected], atol=0.01)


@needs_browser
def test_silence_is_named_and_the_slider_works_by_keyboard(tab, page):
    opened(tab, page)
    assert ask(tab, encoded(np.zeros(2400), 8000))["silent"] is True
    assert all(window["unknown"] for window in ask(tab, encoded(np.zeros(9000), 8000))["windows"])
    assert tab.run("return document.querySelector('.answer').textContent").startswith("silence")
    ask(tab, encoded(make_waveform(9000), 8000))
    moved = "const s = document.querySelector('input[type=range]'); s.value = 3; s.dispatchEvent(new Event('input'));"
    assert "to" in tab.run(moved + "return s.getAttribute('aria-valuetext')")


HOSTILE = [b"", b"no audio", b"RIFF\x10\0\0\0WAVEfmt ", b"OggS" + bytes(99), b"fLaC" + bytes(60), bytes(5000)]
HOSTILE += [b"ID3" + b"\xff" * 99, b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01" + bytes(15) + b"data\xff\xff\xff\x7f"]


@needs_browser
@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_files_get_one_line(tab, page, content):
    opened(tab, page)
    answer = ask(tab, content, "<img src=x onerror=document.title='!'>")
    assert "\n" not in answer["error"]
    assert tab.run("return document.title") != "!"
    assert tab.logs("browser") == []


@needs_browser
def test_a_file_that_is_too_short_is_refused_as_by_predict(tab, page):
    opened(tab, page)
    assert "error" not in ask(tab, encoded(make_waveform(1103), 11_025))
    for n_samples, seconds in ((1, "0.000"), (790, "0.099")):
        error = ask(tab, encoded(make_waveform(n_samples), 8000))["error"]
        assert error == f"{seconds} s are too short for an answer; give at least 0.1 s"


@needs_browser
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
)
def test_a_file_that_is_cut_short_is_refused_as_by_predict(tab, page, kind, subtype):
    opened(tab, page)
    whole = encoded(make_waveform(60_000), 22_050, kind, subtype)
    assert "error" not in ask(tab, whole)
    assert "is cut short" in ask(tab, whole[: len(whole) // 2])["error"]


@needs_browser
def test_a_file_that_is_too_large_to_read_is_called_that(tab, page):
    opened(tab, page)
    assert "larger than 600 MB" in tab.run("return earmarkPage.analyzeBuffer('long.wav', null).then(r => r.error)")


@needs_browser
def test_a_second_click_on_record_does_not_open_a_second_microphone(tab, page):
    opened(tab, page)
    tab.run("""globalThis.asked = 0;
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) => (asked++, ask(wanted));
        document.getElementById('record').click(); document.getElementById('record').click();
        return new Promise(r => setTimeout(r, 1500))""")
    assert tab.run("return asked") == 1
    tab.run("return earmarkPage.toggleRecording().then(() => null)")


PLAYED = """const audio = document.querySelector('#results article audio');
    return audio.play().then(() => new Promise((done, failed) => { audio.onended = done; audio.onerror = failed; }))
        .then(() => [audio.controls, audio.duration])"""


@needs_browser
def test_what_was_classified_can_be_played(tab, page):
    opened(tab, page)
    ask(tab, encoded(make_waveform(4000), 8000))
    assert tab.run(PLAYED) == [True, pytest.approx(0.5)]
    tab.run("earmarkPage.toggleRecording(); return new Promise(r => setTimeout(r, 1500))")
    tab.run("return earmarkPage.toggleRecording().then(() => null)")
    controls, seconds = tab.run(PLAYED)
    assert controls and 0.5 < seconds < 3
    ask(tab, b"no audio")
    assert tab.run("return document.querySelector('#results article').querySelector('audio')") is None
    assert tab.logs("browser") == []


def test_the_title_names_the_network_and_recordings_may_be_played(exported):
    page = build_page(exported, FAKE_RUNTIME)
    assert f"<title>{exported.info.architecture}, {len(CLASS_NAMES)} classes</title>" in page
    assert "media-src blob:" in page


@needs_browser
def test_samples_that_are_not_finite_are_refused(tab, page):
    opened(tab, page)
    assert "not finite" in ask(tab, encoded(np.full(100, np.nan, np.float32), 8000, subtype="FLOAT"))["error"]


@needs_browser
def test_a_microphone_of_two_channels_gives_their_mean(tab, page):
    opened(tab, page)
    heard = tab.run("""navigator.mediaDevices.getUserMedia = async () => {
            const context = new AudioContext();
            const [left, right] = [0.5, 0.1].map((offset) => new ConstantSourceNode(context, { offset }));
            const merged = new ChannelMergerNode(context, { numberOfInputs: 2 });
            left.connect(merged, 0, 0);
            right.connect(merged, 0, 1);
            const stream = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
            merged.connect(stream);
            left.start();
            right.start();
            return stream.stream;
        };
        const score = ort.InferenceSession.prototype.run;
        earmarkPage.toggleRecording();
        return new Promise((done) => {
            ort.InferenceSession.prototype.run = function (inputs) {
                done(Math.max(...inputs.waveform.data));
                return score.call(this, inputs);
            };
        })""")
    tab.run("return earmarkPage.toggleRecording().then(() => null)")
    assert heard == pytest.approx(0.3, abs=0.05)


@needs_browser
def test_microphone_is_followed_and_answered(tab, page):
    opened(tab, page)
    tab.run("earmarkPage.toggleRecording(); return new Promise(r => setTimeout(r, 2500))")
    assert tab.run("return document.querySelectorAll('#live .bars li').length") == len(CLASS_NAMES)
    tab.run("return earmarkPage.toggleRecording().then(() => null)")
    assert tab.run("return document.querySelector('#results article h2').textContent") == "Recording"
    assert tab.logs("browser") == []
