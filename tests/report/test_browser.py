"""The report in headless Chromium: silent console, no network, players that play, controls by mouse and keyboard."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from browser import CHROMIUM, DRIVER, open_browser
from earmark.analysis.records import read_runs
from earmark.config.sections import DataConfig, FrontEndConfig
from earmark.config.suite import RunConfig
from earmark.report.page import write_report
from run_folders import make_clips, write_suite

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
LONG = "unbroken_" * 20
NAMES = ("bark", f"bell {LONG}", LONG, "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>")
"""Two would open a dialog or ask for a file where they were not escaped; two are wider than the page."""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report on three variants with sounds and Grad-CAM overlays, and its aggregate."""
    folder = tmp_path_factory.mktemp("report")
    clips = make_clips(5, groups_per_fold=6, clips_per_group=5, names=NAMES)
    (folder / "audio").mkdir()
    for i, clip in enumerate(clips):
        tone = 0.4 * np.sin(2 * np.pi * (300 + 5 * i) * np.arange(16000) / 16000)
        soundfile.write(folder / clip.filepath, tone, 16000)
    base = RunConfig(name="toy", data=DataConfig(root=str(folder)), front_end=FrontEndConfig(n_fft=512))
    runs = write_suite(folder / "runs", {"none": 0.3, "se": 0.6, "cbam": 2.0}, clips=clips, names=NAMES, base=base)
    records = read_runs(runs)
    for record in records:
        (record.folder / "gallery").mkdir()
        for clip_id in record.clip_ids:
            Image.new("RGBA", (8, 8), (255, 0, 0, 90)).save(record.folder / "gallery" / f"{clip_id}.png")
    return folder / "report.html", write_report(records, folder / "report.html")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_page_loads_without_errors_requests_or_sideways_scrolling(browser, page, width, dark):
    browser.open(page[0], width=width, dark=dark)
    assert browser.run("return document.querySelectorAll('section').length") == 12
    assert browser.logs("browser") == []
    assert browser.requests() == [page[0].resolve().as_uri()]
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_every_printed_number_is_its_value(browser, page):
    browser.open(page[0])
    numbers = browser.run(
        "return [...document.querySelectorAll('#results data')].map(d => [Number(d.value), d.textContent])"
    )
    expected = [v.metrics["accuracy"].pooled for v in page[1].variants]
    assert [value for value, _ in numbers if value in expected]
    assert all(abs(float(text) - value) < 1e-3 or abs(float(text) - 100 * value) <= 0.0501 for value, text in numbers)


def test_players_play_and_only_one_at_a_time(browser, page):
    browser.open(page[0])
    played = browser.run("""
        const [first, second] = document.querySelectorAll('audio');
        return (async () => {
            await first.play();
            await new Promise(done => first.addEventListener('timeupdate', done, {once: true}));
            await second.play();
            await new Promise(done => setTimeout(done, 100));
            return [first.currentTime > 0, first.paused, second.paused, second.duration, first.error];
        })();""")
    assert played[:3] == [True, True, False]
    assert played[3] == pytest.approx(1.0, abs=0.15)  # MP3 pads to whole frames
    assert played[4] is None


def shown_matrix(browser):
    return browser.run("""
        const table = document.querySelector('.panel:not([hidden]) table');
        const rows = [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.textContent));
        return [[...table.tHead.rows[0].cells].slice(1).map(c => c.textContent), rows];""")


def test_confusion_is_sorted_without_changing_a_count(browser, page):
    browser.open(page[0])
    counts = {}
    for name in ("by name", "hardest first", "confused side by side"):
        browser.run(f"[...document.querySelectorAll('.choice button')].find(b => b.textContent === '{name}').click()")
        head, rows = shown_matrix(browser)
        assert head == [row[0] for row in rows]
        counts[name] = {(row[0], head[j]): row[j + 1] for row in rows for j in range(len(head))}
        if name == "by name":
            assert head == sorted(NAMES)
            matrix = page[1].variants[0].confusion
            assert [[int(n or 0) for n in row[1:]] for row in rows] == [
                [matrix[NAMES.index(a)][NAMES.index(b)] for b in head] for a in head
            ]
    assert counts["by name"] == counts["hardest first"] == counts["confused side by side"]


def test_variants_are_chosen_and_overlays_shown_by_keyboard(browser, page):
    browser.open(page[0])
    browser.run("[...document.querySelectorAll('[data-kind=panel]')][1].focus()")
    press(browser, "Enter")
    assert browser.run("return document.querySelector('.panel:not([hidden]) h3').textContent") == "none"
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    visible = "return getComputedStyle(document.querySelector('.cam')).visibility"
    assert browser.run(visible) == "hidden"
    browser.run("document.querySelector('.picture button').focus()")
    press(browser, " ")
    assert browser.run(visible) == "visible"
    press(browser, "Tab")
    assert browser.run("return document.activeElement.tagName") == "AUDIO"


def press(browser, key):
    text = "\r" if key == "Enter" else key
    name = {
        "key": key,
        "code": {" ": "Space"}.get(key, key),
        "windowsVirtualKeyCode": {"Enter": 13, "Tab": 9, " ": 32}[key],
    }
    browser.command("Input.dispatchKeyEvent", {"type": "keyDown", "text": "" if key == "Tab" else text, **name})
    browser.command("Input.dispatchKeyEvent", {"type": "keyUp", **name})


@pytest.mark.parametrize("dark", [False, True])
def test_theme_follows_the_system_and_the_button(browser, page, dark):
    """Text stands out from its ground by 4.5 : 1 at least (WCAG 2.2, AA), in both themes."""
    browser.open(page[0], dark=dark)
    ground = "return getComputedStyle(document.body).backgroundColor"
    first = browser.run(ground)
    assert (luminance(first) < 0.1) == dark
    for _ in range(2):
        for selector in ("body", ".lead", ".note", "summary", ".card em", ".verdict .size", "nav a"):
            color = browser.run(f"return getComputedStyle(document.querySelector('{selector}')).color")
            light, darker = sorted((luminance(color), luminance(browser.run(ground))), reverse=True)
            assert (light + 0.05) / (darker + 0.05) >= 4.5, selector
        browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) == first


def luminance(color):
    channels = np.array([float(c) for c in color[color.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_page_is_readable_without_scripts(browser, page):
    browser.command("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open(page[0])
    browser.command("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.run("return document.querySelectorAll('.panel:not([hidden])').length") == 3
    assert browser.run("return getComputedStyle(document.querySelector('.controls')).display") == "none"


@pytest.fixture(scope="module")
def embedding_page(tmp_path_factory):
    """A report on a probe; clip number i lies at (i, i modulo 7) and sounds at its own pitch."""
    folder = tmp_path_factory.mktemp("embedding")
    clips = make_clips(5, groups_per_fold=4, clips_per_group=1)
    (folder / "audio").mkdir()
    for i, clip in enumerate(clips):
        tone = 0.4 * np.sin(2 * np.pi * (300 + 100 * i) * np.arange(16000) / 16000)
        soundfile.write(folder / clip.filepath, tone, 16000)
    base = RunConfig(name="toy", data=DataConfig(root=str(folder)), front_end=FrontEndConfig(n_fft=512))
    runs = write_suite(folder / "runs", {"knn": 0.3}, clips=clips, base=base)
    records = read_runs(runs)
    places = {clip.clip_id: f"{i},{i % 7}" for i, clip in enumerate(clips)}
    for record in records:
        rows = [f"{clip_id},{places[clip_id]}" for clip_id in record.clip_ids]
        (record.folder / "embedding.csv").write_text("\n".join(["clip_id,x,y", *rows]) + "\n", encoding="utf-8")
    write_report(records, folder / "report.html")
    return folder / "report.html", {clip.clip_id: 300 + 100 * i for i, clip in enumerate(clips)}


PITCH = """
    const audio = document.getElementById(arguments_card).querySelector('audio');
    return (async () => {
        const bytes = Uint8Array.from(atob(audio.currentSrc.split(',')[1]), c => c.charCodeAt(0));
        const sound = await new OfflineAudioContext(1, 16000, 16000).decodeAudioData(bytes.buffer);
        const samples = sound.getChannelData(0);
        let crossings = 0;
        for (let i = 4001; i < 12000; i++) crossings += samples[i - 1] < 0 && samples[i] >= 0;
        return [crossings / 8000 * 16000, audio.paused, audio.currentTime];
    })();"""


def test_a_dot_of_the_embedding_names_its_clip_and_plays_it(browser, embedding_page):
    """By mouse and by keyboard; the sound has the pitch of that clip."""
    path, pitch_of = embedding_page
    browser.open(path)
    dots = browser.run(
        "return [...document.querySelectorAll('.embedding circle')].map(c => [c.querySelector('title').textContent,"
        " c.dataset.card || '', Number(c.getAttribute('cx'))])"
    )
    assert sorted(title.rpartition(": ")[2] for title, *_ in dots) == sorted(pitch_of)
    by_place = [title.rpartition(": ")[2] for title, _, _ in sorted(dots, key=lambda dot: dot[2])]
    assert by_place == sorted(pitch_of, key=pitch_of.get), "the tooltip under the mouse is that of the clip drawn there"
    playing = [(title.rpartition(": ")[2], card) for title, card, _ in dots if card]
    assert len(playing) >= 3
    for n, (clip_id, card) in enumerate(playing[:3]):
        assert card == f"clip-{clip_id}"
        play(browser, card, by_key=n == 2)
        pitch, paused, seconds = browser.run(PITCH.replace("arguments_card", repr(card)))
        assert pitch == pytest.approx(pitch_of[clip_id], rel=0.02)
        assert not paused and seconds > 0
    others = "return [...document.querySelectorAll('audio')].filter(a => !a.paused).length"
    assert browser.run(others) == 1
    assert browser.logs("browser") == []


def play(browser, card, by_key):
    """Click on a dot, or press Enter on it, and wait until its sound plays."""
    place = browser.run(f"""
        const dot = document.querySelector('.embedding [data-card="{card}"]');
        dot.scrollIntoView({{block: 'center', behavior: 'instant'}});
        if ({str(by_key).lower()}) dot.focus();
        const box = dot.getBoundingClientRect();
        return {{x: box.x + box.width / 2, y: box.y + box.height / 2}};""")
    if by_key:
        press(browser, "Enter")
    else:
        for kind in ("mousePressed", "mouseReleased"):
            mouse = {"type": kind, "button": "left", "clickCount": 1, **place}
            browser.command("Input.dispatchMouseEvent", mouse)
    browser.run(f"""
        const audio = document.getElementById('{card}').querySelector('audio');
        return new Promise((done, failed) => {{
            setTimeout(() => failed(new Error('silent')), 20000);
            const wait = () => audio.currentTime > 0 ? done() : setTimeout(wait, 20);
            wait();
        }});""")
