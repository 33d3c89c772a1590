"""The report without a browser: its numbers, its pictures and sounds, its text as text, and nothing from elsewhere."""

import base64
import builtins
import io
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from PIL import Image

from earmark.analysis.aggregate import METRICS
from earmark.analysis.breakdown import ReliabilityBin, recall_intervals
from earmark.analysis.calibrate import calibrate_records
from earmark.analysis.headline import headline
from earmark.analysis.leaks import COMPARED
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.rows import format_metric
from earmark.analysis.tables import SPLIT_KINDS
from earmark.analysis.verdicts import points, verdict_text
from earmark.config.sections import DataConfig, FrontEndConfig
from earmark.config.suite import RunConfig
from earmark.features.log_mel import load_image
from earmark.report.axes import LEFT, N_COLORS, RIGHT, WIDTH, color, linear_axis, log_axis, shorten
from earmark.report.confusion import class_orders, confusion_section
from earmark.report.html import data, tag
from earmark.report.learning import learning_curves, mean_and_spread
from earmark.report.media import audio_url, image_url
from earmark.report.mistakes import find_mistakes, gallery
from earmark.report.page import write_report
from earmark.report.plots import forest_plot, reliability_plot
from earmark.report.suspects import N_CARDS
from earmark.report.verdict import MAX_CLAIMS
from run_folders import NAMES, make_clips, make_probs, write_run, write_suite

RATE = 16000
VOID = {"br", "img", "input", "meta"}


class Page(HTMLParser):
    """Elements of a page: (tag, attributes, own text), checked to be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, name, attributes):
        self.elements.append([name, dict(attributes), ""])
        if name not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, name):
        assert self.elements[self._open.pop()][0] == name

    def handle_data(self, text):
        if self._open:
            self.elements[self._open[-1]][2] += text

    def all(self, name, **wanted):
        return [e for e in self.elements if e[0] == name and all(e[1].get(k) == v for k, v in wanted.items())]


def write_tones(folder, clips, seconds=0.5):
    """A recording for each clip, of a pitch that says which."""
    (folder / "audio").mkdir(parents=True)
    for i, clip in enumerate(clips):
        tone = 0.4 * np.sin(2 * np.pi * (300 + 20 * i) * np.arange(int(RATE * seconds)) / RATE)
        soundfile.write(folder / clip.filepath, tone, RATE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report on two variants with recordings: its aggregate, its runs, its text."""
    folder = tmp_path_factory.mktemp("report")
    clips = make_clips(5)
    write_tones(folder / "recordings", clips)
    base = RunConfig(name="toy", data=DataConfig(root=str(folder / "recordings")), front_end=FrontEndConfig(n_fft=512))
    runs = write_suite(folder / "runs", {"none": 0.0, "se": 2.5}, clips=clips, base=base)
    records = read_runs(runs)
    summary = write_report(records, folder / "new" / "report.html")
    return summary, records, (folder / "new" / "report.html").read_text(encoding="utf-8")


def printed(page):
    """Every `<data>` of a page as (value, text)."""
    return [(float(e[1]["value"]), e[2].replace("\N{NO-BREAK SPACE}", " ")) for e in page.all("data")]


def test_sixteen_variants_have_sixteen_colors_in_light_and_dark():
    sheet = (files("earmark.report") / "assets" / "style.css").read_text(encoding="utf-8")
    assert {color(i) for i in range(N_COLORS)} == set(re.findall(r"\.(v\d+) \{ --c: var\(--c\d+\); \}", sheet))
    palettes = [re.findall(r"--c\d+: (#\w{6});", theme) for theme in sheet.split("--paper: ")[1:]]
    assert [len(set(colors)) for colors in palettes] == [N_COLORS] * 3


def test_every_number_of_the_aggregate_is_on_the_page(written):
    summary, records, text = written
    found = set(printed(Page(text)))
    intervals = recall_intervals(records)
    for v in summary.variants:
        for metric in METRICS:
            m = v.metrics[metric]
            assert {(value, format_metric(metric, value)) for value in (m.pooled, m.low, m.high)} <= found | {
                (None, "–")
            }
        for metric in ("accuracy", "uar"):
            m = v.metrics[metric]
            assert {(value, format_metric(metric, value)) for value in (m.std_folds, m.std_seeds)} <= found
        assert {(v.cost.n_parameters, f"{v.cost.n_parameters:,}"), (v.cost.macs, f"{v.cost.macs:,}")} <= found
        assert (v.n_runs, str(v.n_runs)) in found
        assert {(r, format_metric("recall", r)) for r in v.recall.values()} <= found
        assert set(intervals[v.variant]) == set(NAMES)
        for interval in intervals[v.variant].values():
            assert {(value, format_metric("recall", value)) for value in interval} <= found
        assert {(float(n), str(n)) for row in v.confusion for n in row if n} <= found
        assert {(g.accuracy, format_metric("accuracy", g.accuracy)) for g in v.groups.values()} <= found
    for c in summary.comparisons:
        j = c.judgment
        assert {(x, points(x, True)) for x in (c.difference, j.low, j.high)} <= found
        probabilities = {j.probability_better, j.probability_equal, j.probability_worse}
        assert {j.p, j.detectable, *probabilities} <= {value for value, _ in found}


def numbers_in(value):
    """All numbers in nested dicts, lists and tuples."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {n for item in value for n in numbers_in(item)}
    return {value} if isinstance(value, int | float) else set()


def test_every_number_on_the_page_is_the_aggregates(written):
    """Each value is one of the aggregate, of a run, or a mistake's probability; each text is its value rounded."""
    summary, records, text = written
    known = numbers_in(asdict(summary)) | numbers_in([r.result["metrics"] for r in records])
    known |= numbers_in([m.probs for m in find_mistakes(records)]) | numbers_in(recall_intervals(records))
    fitted = numbers_in([asdict(report) for report in calibrations(summary, records)])
    for value, shown in printed(Page(text)):
        assert value in known or any(value == pytest.approx(number) for number in fitted)
        plain = float(re.sub(r"^[<>] | %$|[+,]", "", shown).replace("−", "-"))
        unit = 10.0 ** -len(shown.partition(".")[2].removesuffix(" %"))
        exact = min(abs(plain - value), abs(plain - 100 * value)) <= 0.501 * unit
        assert shown[0] in "<>" or exact, (value, shown)


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_first_heading_is_the_answer_in_one_sentence(written):
    summary, _, text = written
    assert plain(Page(text).all("h2")[0][2]) == headline(summary) == verdict_text(summary.verdicts[0])


def report_on(tmp_path, skills, clips, n_folds=5, seeds=(1, 2), **arguments):
    """The aggregate of a report and its page."""
    runs = write_suite(tmp_path / "runs", skills, n_folds, seeds, clips)
    summary = write_report(read_runs(runs), tmp_path / "report.html", **arguments)
    return summary, Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_pairs_without_a_claim_are_grouped(tmp_path):
    """Six undecided pairs make one card, with a sentence for each on request."""
    summary, page = report_on(tmp_path, dict.fromkeys("abcd", 1.5), make_clips(5, 6))
    assert {c.verdict for c in summary.verdicts} == {"undecided"}
    assert len(page.all("li", **{"class": "verdict open"})) == 1
    sentences = [plain(e[2]) for e in page.all("p")]
    assert any(s.startswith("6 pairs are undecided: their differences are") for s in sentences)
    assert all(sentences.count(verdict_text(c)) == 1 for c in summary.verdicts)


def test_the_largest_claims_come_first_and_others_are_folded(tmp_path):
    summary, page = report_on(tmp_path, {name: 0.4 * i for i, name in enumerate("abcdefg")}, make_clips(40, 6))
    claims = sorted((c for c in summary.verdicts if c.verdict in ("better", "worse")), key=lambda c: -abs(c.difference))
    assert len(claims) > MAX_CLAIMS
    texts = [verdict_text(c) for c in claims]
    assert [text for e in page.all("p") if (text := plain(e[2])) in texts] == texts
    more = f"{len(claims) - MAX_CLAIMS} more claims, with smaller differences"
    assert [plain(e[2]) for e in page.all("summary")].count(more) == 1


def test_every_pair_has_a_bar_of_its_three_probabilities(tmp_path):
    summary, page = report_on(tmp_path, {"a": 1.0, "b": 1.4, "c": 3.0}, make_clips(5, 6))
    bars = [e for e in page.all("rect") if e[1].get("class", "").startswith("segment")]
    assert len(bars) == 9
    names = [v.variant for v in summary.variants]
    for i, c in enumerate(sorted(summary.verdicts, key=lambda c: -abs(c.difference))):
        j = c.judgment
        expected = [j.probability_better, j.probability_equal, j.probability_worse]
        first, second = c.variant, c.baseline
        if c.difference < 0:
            expected, first, second = expected[::-1], second, first
        widths = [float(e[1]["width"]) for e in bars[3 * i : 3 * i + 3]]
        assert widths == pytest.approx([440 * p for p in expected], abs=0.01)
        kinds = [e[1]["class"] for e in bars[3 * i : 3 * i + 3]]
        assert kinds == [f"segment v{names.index(first) + 1}", "segment equal", f"segment v{names.index(second) + 1}"]


def test_the_bar_of_an_undecided_pair_says_so(tmp_path):
    """A long bar alone reads as a verdict."""
    summary, page = report_on(tmp_path, {"a": 1.0, "b": 1.1, "c": 4.0}, make_clips(5, 6))
    undecided = [c for c in summary.verdicts if c.verdict == "undecided"]
    assert 0 < len(undecided) < len(summary.verdicts)
    assert [e[2] for e in page.all("text", **{"class": "tick"})].count("undecided") == len(undecided)


def test_scores_stand_beside_chance_and_the_most_frequent_class(tmp_path):
    clips = [c for c in make_clips(5, 6, 6) if c.label != "rain" or c.clip_id.endswith("-2")]
    summary, page = report_on(tmp_path, {"a": 1.0, "b": 2.0}, clips)
    labels = [e[2] for e in page.all("text", **{"class": "tick halo"})]
    assert 0.25 == summary.chance < summary.floor
    assert {"chance 25.0", f"most frequent class {100 * summary.floor:.1f}"} <= set(labels)
    assert len({e[1]["y1"] for e in page.all("line", **{"class": "reference"})}) == 3


def test_times_are_compared_between_equal_machines_alone(tmp_path):
    summary, page = report_on(tmp_path, {"a": 1.0, "b": 2.0}, make_clips(2), 2)
    assert summary.equal_machines
    assert "Accuracy by training time of a run, s" in [e[2] for e in page.all("figcaption")]
    timing = next((tmp_path / "runs").rglob("timing.json"))
    timing.write_text(timing.read_text().replace('"threads": 1', '"threads": 2'))
    records = read_runs(tmp_path / "runs")
    assert not write_report(records, tmp_path / "report.html").equal_machines
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Accuracy by training time of a run, s" not in [e[2] for e in page.all("figcaption")]
    assert any("Training times are not compared" in e[2] for e in page.all("p"))


@pytest.mark.parametrize("kind", COMPARED)
def test_a_run_of_the_leak_study_has_a_report(tmp_path, kind):
    """The kinds of split that `earmark optimism` makes were unknown to the sentence on the protocol (bug 7)."""
    split = {"kind": kind, "waiver": "", "waived_groups": [], "leaks": ["a leak"]}
    records = read_runs(write_suite(tmp_path, {kind: 1}, 1, (1,), split=split))
    write_report(records, tmp_path / "report.html")
    assert SPLIT_KINDS[kind] in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_optional_sections_are_collapsed(written):
    *_, text = written
    folded = re.findall(r'<section id="(\w+)"[^>]*><details class="optional"', text)
    assert folded == ["classes", "groups", "calibration", "cost", "method"]
    assert 'class="optional" open' not in text


def calibrations(summary, records):
    """What `earmark finalize` would fit to each variant."""
    return [calibrate_records([r for r in records if r.variant == v.variant]) for v in summary.variants]


def test_calibration_before_and_after_is_that_of_finalize(written):
    summary, records, text = written
    values = [value for value, _ in printed(Page(text))]
    for report in calibrations(summary, records):
        assert report.log_loss_after < report.log_loss_before
        for expected in numbers_in(asdict(report)):
            assert any(value == pytest.approx(expected) for value in values)


def test_page_asks_for_nothing_from_elsewhere(written):
    *_, text = written
    page = Page(text)
    assert "default-src 'none'" in page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0][1]["content"]
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "data", "action", "poster"):
            assert re.match(r"data:|#", attributes.get(name) or "#")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|https?://", text)


def test_every_plot_has_a_title_and_named_axes(written):
    *_, text = written
    plots = re.findall(r'<svg[^>]*class="plot".*?</svg>', text, flags=re.DOTALL)
    assert len(plots) == 11  # bars, scores, 2 forests, training loss, recall, groups, 2 reliability, 2 costs
    for i, plot in enumerate(plots):
        assert re.match(r"<svg[^>]*role=\"img\"[^>]*><title>[^<]+</title>", plot)
        assert i < 2 or re.search(r'class="axis"[^>]*>[^<]+<', plot)
        coordinates = re.findall(r'\s(?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"', plot)
        assert all(-30 <= float(c) <= 800 for c in coordinates)


def test_page_has_one_heading_per_section_in_order_and_names_for_controls(written):
    *_, text = written
    page = Page(text)
    ids = [e[1]["id"] for e in page.all("section")]
    links = [e[1]["href"].removeprefix("#") for e in page.all("a") if e[1].get("class") != "skip"]
    assert ids == links
    assert "groups" in ids and ids[0] == "verdict" and ids[-1] == "method"
    assert len(page.all("h1")) == 1 and len(page.all("h2")) == len(ids)
    assert all(e[1].get("alt") for e in page.all("img"))
    assert all(e[1].get("aria-label") for e in page.all("audio"))


def test_mistakes_have_sound_and_the_image_of_their_front_end(written):
    *_, text = written
    page = Page(text)
    cards, pictures, players = page.all("article"), page.all("img"), page.all("audio")
    assert 0 < len(cards) == len(pictures) == len(players) <= 12 + N_CARDS
    content = base64.b64decode(players[0][1]["src"].removeprefix("data:audio/mpeg;base64,"))
    waveform, rate = soundfile.read(io.BytesIO(content))
    assert rate == RATE and len(waveform) >= 0.5 * RATE
    content = base64.b64decode(pictures[0][1]["src"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(content)).size == (16, 128)
    assert ">8 kHz<" in text and ">0.5 s<" in text


def test_the_picture_is_the_image_of_the_front_end_in_other_colors(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), RATE)
    image = load_image(tmp_path / "a.wav", FrontEndConfig(sample_rate=RATE, n_fft=512))
    content = base64.b64decode(image_url(image).removeprefix("data:image/png;base64,"))
    shown = Image.open(io.BytesIO(content)).convert("RGB")
    lightness = np.asarray(shown.convert("L")).astype(int)
    order = np.argsort(image.ravel(), kind="stable")
    assert shown.size == image.shape[::-1]
    assert (np.diff(lightness.ravel()[order]) >= -1).all()  # brighter never looks darker (rounding: 1 of 255)


def test_rates_that_mp3_does_not_know_are_embedded_as_wav():
    assert audio_url(np.zeros(800, np.float32), 8000).startswith("data:audio/mpeg")
    assert audio_url(np.zeros(800, np.float32), 4000).startswith("data:audio/wav")


def test_file_names_and_labels_stay_text(tmp_path):
    evil = "<script>alert(1)</script>"
    names = ("<b>bold</b>", '"><img src=x onerror=alert(1)>', "a&b", "plain")
    clips = [replace(c, clip_id=f"{evil}{c.clip_id}", group=f"<i>{c.group}") for c in make_clips(3, names=names)]
    runs = write_suite(tmp_path, {"none": 0.1, "se": 0.2}, 3, (1,), clips, names)
    write_report(read_runs(runs), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("script")) == 1 and not page.all("i", **{"class": None}) and not page.all("img")
    assert all(not name.startswith("on") for e in page.elements for name in e[1])
    texts = [e[2] for e in page.elements]
    assert any(evil in t for t in texts)
    assert all(any(name in t for t in texts) for name in names)


def test_what_is_missing_is_reported(tmp_path):
    runs = write_suite(tmp_path, {"none": 0.1}, 3, (1,))
    write_report(read_runs(runs), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    n_cards = len(Page(text).all("article"))
    assert text.count("no picture") == text.count("is not on this machine.") == n_cards >= 12


def test_a_report_without_the_audio_library_says_so(tmp_path, monkeypatch):
    clips = make_clips(3)
    write_tones(tmp_path, clips)
    base = RunConfig(name="toy", data=DataConfig(root=str(tmp_path)))
    records = read_runs(write_suite(tmp_path / "runs", {"none": 0.1}, 3, (1,), clips, base=base))
    real = builtins.__import__

    def without_audio(name, *args, **kwargs):
        if name == "earmark.audio.io":
            raise ImportError("no module", name="soundfile")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_audio)
    write_report(records, tmp_path / "report.html")
    assert "The recording was not read: soundfile is not installed." in (tmp_path / "report.html").read_text()


def test_broken_recording_does_not_stop_the_report(tmp_path):
    clips = make_clips(3)
    (tmp_path / "audio").mkdir()
    for clip in clips:
        (tmp_path / clip.filepath).write_text("no audio")
    base = RunConfig(name="toy", data=DataConfig(root=str(tmp_path)))
    write_report(
        read_runs(write_suite(tmp_path / "runs", {"none": 0.1}, 3, (1,), clips, base=base)), tmp_path / "r.html"
    )
    assert "cannot be decoded" in (tmp_path / "r.html").read_text()


def test_images_made_elsewhere_and_overlays_are_shown(tmp_path):
    clips = make_clips(3)
    for clip in clips:
        Image.new("L", (40, 20), 128).save(tmp_path / f"{clip.clip_id}_orig.png")
    base = RunConfig(name="toy", data=DataConfig(images=str(tmp_path)))
    records = read_runs(write_suite(tmp_path / "runs", {"none": 0.1}, 3, (1,), clips, base=base))
    for record in records:
        (record.folder / "gallery").mkdir()
        for clip_id in record.clip_ids:
            Image.new("RGBA", (40, 20), (255, 0, 0, 90)).save(record.folder / "gallery" / f"{clip_id}.png")
    write_report(records, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    n_cards = len(page.all("article"))
    assert len(page.all("img", **{"class": "log-mel"})) == len(page.all("img", **{"class": "cam"})) == n_cards >= 12


def test_long_recordings_are_cut_and_the_page_stays_small(tmp_path):
    clips = make_clips(3)
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    for clip in clips:
        soundfile.write(tmp_path / clip.filepath, rng.normal(0, 0.2, 12 * 44100), 44100)
    base = RunConfig(name="toy", data=DataConfig(root=str(tmp_path)))
    write_report(
        read_runs(write_suite(tmp_path / "runs", {"none": 0.1}, 3, (1,), clips, base=base)), tmp_path / "r.html"
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("Shown are the first 10 s of 12.0 s.") == len(Page(text).all("article")) >= 12
    assert len(text) < 15e6


def test_errors_of_labels_alone_have_no_confidence(tmp_path):
    clips = make_clips(2)
    folder = write_suite(tmp_path, {"a": 0.5}, 2, (1, 2), clips)
    records = [replace(r, probs=np.eye(4)[r.predictions], has_probs=False) for r in read_runs(folder)]
    body = str(gallery(find_mistakes(records)))
    assert "wrong in 2 of 2 runs" in body and "confidence" not in body and 'class="bars"' not in body


def test_mistakes_are_those_of_the_mean_of_all_runs_the_most_confident_first(tmp_path):
    clips = make_clips(1)
    probs = np.full((len(clips), 4), 0.1)
    probs[:, 0] = 0.7  # every clip is predicted as a bark
    other = np.roll(probs, 1, axis=1)
    other[:, 1] = np.linspace(0.4, 0.9, len(clips))
    other /= other.sum(axis=1, keepdims=True)
    for variant, p in (("a", probs), ("b", other)):
        write_run(tmp_path, RunConfig(name="toy", variant=variant), clips, p)
    found = find_mistakes(read_runs(tmp_path), limit=5)
    mean = (probs + other) / 2
    targets = np.array([NAMES.index(c.label) for c in clips])
    wrong = [i for i in np.argsort(-mean.max(axis=1)) if mean[i].argmax() != targets[i]][:5]
    assert [m.clip_id for m in found] == [clips[i].clip_id for i in wrong]
    assert [m.confidence for m in found] == pytest.approx([mean[i].max() for i in wrong], abs=1e-8)
    assert found[0].predicted_as == NAMES[mean[wrong[0]].argmax()]
    assert all(m.n_runs == 2 and m.n_wrong in (1, 2) for m in found)


def test_curves_average_folds_before_seeds():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 3, 20))  # folds, seeds, epochs
    runs = {(f, s): table[f, s] for f in range(4) for s in range(3)}
    mean, std = mean_and_spread(runs, over_seeds=True)
    np.testing.assert_allclose(mean, table.mean(axis=(0, 1)))
    np.testing.assert_allclose(std, table.mean(axis=0).std(axis=0, ddof=1))
    _, std = mean_and_spread({(f, 0): table[f, 0] for f in range(4)}, over_seeds=False)
    np.testing.assert_allclose(std, table[:, 0].std(axis=0, ddof=1))
    assert mean_and_spread({(1, 1): table[0, 0]}, over_seeds=False)[1] is None


def test_runs_with_valid_scores_have_their_curves(tmp_path):
    runs = write_suite(tmp_path, {"none": 1.0}, 2, (1, 2))
    for path in runs.rglob("history.csv"):
        rows = [f"{e},0.001,{2 / e},{3 / e},{1 - 1 / e},{1 - 1 / e},1.0" for e in range(1, 6)]
        path.write_text("\n".join(["epoch,lr,train_loss,valid_loss,valid_accuracy,valid_uar,seconds", *rows]))
    write_report(read_runs(runs), tmp_path / "report.html")
    captions = [e[2] for e in Page((tmp_path / "report.html").read_text()).all("figcaption")]
    assert captions[1:5] == ["Training loss", "Loss on valid", "Accuracy on valid", "Average recall on valid"]


def test_a_quantity_without_a_value_in_some_epoch_has_no_curve(tmp_path):
    runs = write_suite(tmp_path, {"none": 1.0}, 2, (1,))
    path = next(runs.rglob("history.csv"))
    header, first, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, first.replace(first.split(",")[2], "nan"), *rows]))
    write_report(read_runs(runs), tmp_path / "report.html")
    assert "Training loss" not in (tmp_path / "report.html").read_text()


def test_the_only_epoch_of_a_run_is_a_dot(tmp_path):
    runs = write_suite(tmp_path, {"none": 1.0}, 2, (1, 2))
    for path in runs.rglob("history.csv"):
        path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:2]), encoding="utf-8")
    (plot,), _ = learning_curves(read_runs(runs), {"none": 0})
    assert str(plot).count("<circle") == 1 and 'class="line' not in str(plot)
    assert "after epoch 1<" in str(plot)


def test_runs_that_differ_in_length_are_named(tmp_path):
    runs = write_suite(tmp_path, {"short": 1.0, "even": 1.0}, 2, (1, 2))
    records = read_runs(runs)
    index_of = {"short": 0, "even": 1}
    assert "differ in length" not in learning_curves(records, index_of)[1]
    path = records[0].folder / "history.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert f"Runs of {records[0].variant} differ in length" in learning_curves(records, index_of)[1]


def test_damaged_history_is_named(tmp_path):
    runs = write_suite(tmp_path, {"none": 1.0}, 2, (1,))
    next(runs.rglob("history.csv")).write_text("epoch\n1\n")
    with pytest.raises(RunError, match=r"history\.csv lacks the column 'train_loss'; repeat the run"):
        write_report(read_runs(runs), tmp_path / "report.html")


def test_class_orders_are_permutations_and_bring_the_confused_together():
    matrix = np.diag([30, 30, 30, 30, 30, 30])
    matrix[0, 5] = matrix[5, 0] = matrix[1, 3] = 10
    orders = class_orders(matrix, tuple("fedcba"))
    assert all(sorted(order) == list(range(6)) for order in orders.values())
    assert orders["by name"] == [5, 4, 3, 2, 1, 0]
    assert orders["hardest first"][:3] == [0, 1, 5]
    place = {k: i for i, k in enumerate(orders["confused side by side"])}
    assert abs(place[0] - place[5]) == 1 and abs(place[1] - place[3]) == 1


def test_axes_map_their_ends_and_have_round_ticks():
    axis = linear_axis("", [0.13, 0.87], 10, 110, str)
    assert axis(axis.low) == 10 and axis(axis.high) == 110
    np.testing.assert_allclose(axis.ticks, [0, 0.2, 0.4, 0.6, 0.8, 1.0])
    for n_epochs, ticks in {1: [0, 1], 2: [0, 1, 2], 12: [0, 3, 6, 9, 12], 40: [0, 10, 20, 30, 40]}.items():
        np.testing.assert_allclose(linear_axis("", (0, n_epochs), 10, 110, str, whole=True).ticks, ticks)
    axis = log_axis("", [20_000, 3_000_000], 0, 100, str)
    assert axis(axis.low) == 0 and axis(axis.high) == pytest.approx(100)
    np.testing.assert_allclose(axis.ticks, [2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6])
    assert np.diff([axis(v) for v in (1e5, 1e6)]) == pytest.approx(np.diff([axis(v) for v in (2e5, 2e6)]))


def test_the_clips_of_a_bin_stand_in_their_bin():
    """A bin holds its upper edge: of 15 bins, the third is above 13.3 % and up to 20 %."""
    page = Page(reliability_plot("a", "v1", [ReliabilityBin(0.2, 0.5, 10.0)], tag("b")))
    (bar,) = (attributes for name, attributes, _ in page.elements if name == "rect")
    width = (WIDTH - RIGHT - LEFT) / 15
    assert float(bar["x"]) == pytest.approx(LEFT + 2 * width + 1, abs=0.01)


def test_differences_on_an_axis_have_their_sign(written):
    (comparison,) = written[0].verdicts
    judgment = replace(comparison.judgment, low=-0.009, high=0.009)
    plot = Page(forest_plot("a", [replace(comparison, difference=0.0, judgment=judgment)]))
    ticks = [text for _, _, text in plot.all("text", **{"class": "tick"})]
    assert ticks == ["−1", "−0.5", "0", "+0.5", "+1"]


def test_no_line_crosses_a_name_or_number_of_the_differences(written):
    """Where an interval is left of zero, zero and band ran through its numbers."""
    (comparison,) = written[0].verdicts
    judgment = replace(comparison.judgment, low=-0.287, high=-0.105)
    plot = Page(forest_plot("a", 2 * [replace(comparison, difference=-0.196, judgment=judgment)]))
    lines = [(float(e["y1"]), float(e["y2"])) for _, e, _ in plot.all("line")]
    lines += [(float(e["y"]), float(e["y"]) + float(e["height"])) for _, e, _ in plot.all("rect")]
    baselines = [float(e["y"]) for name, e, _ in plot.elements if name == "text" and e["class"].startswith("row")]
    assert len(baselines) == 4 and len(lines) == 2 * 3 + 1
    assert all(bottom < y - 10 or top > y + 4 for y in baselines for top, bottom in lines)


def test_a_class_that_is_never_right_has_a_zero_on_the_diagonal(written):
    """The empty cell looked like a hole in the diagonal."""
    (v, _), (a, b) = written[0].variants, ("bark", "bell")
    section = confusion_section(
        replace(written[0], class_names=(a, b), variants=(replace(v, confusion=[[0, 3], [0, 0]]),))
    )
    cells = [(e.get("title"), e.get("class"), e.get("style")) for _, e, _ in Page(section.body).all("td")][1:]
    assert cells == [
        ("bark predicted as bark: 0 of 3 (0.0 %)", None, None),
        ("bark predicted as bell: 3 of 3 (100.0 %)", "wrong dark", "--s:1.00"),
        (None, None, None),
        ("bell predicted as bell: 0 of 0", None, None),
    ]
    assert printed(Page(section.body)) == [(0.0, "0"), (3.0, "3"), (0.0, "0")]


def test_markup_escapes_what_it_did_not_make():
    assert tag("p", "<b>", tag("i", "&"), None, [1, "'"]) == "<p>&lt;b&gt;<i>&amp;</i>1&#x27;</p>"
    assert (
        tag("a", href='"><x', data_x=1.0, hidden=True, title=None) == '<a href="&quot;&gt;&lt;x" data-x="1" hidden></a>'
    )
    assert data(0.5, "<") == '<data value="0.5">&lt;</data>' and data(None, "<") == "&lt;"


def test_report_needs_no_torch():
    code = "import sys, earmark.report; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_many_classes_and_many_variants_fit(tmp_path):
    names = tuple(f"class {i:02d}" for i in range(50))
    clips = make_clips(2, groups_per_fold=25, clips_per_group=4, names=names)
    skills = {f"variant{i}": 3.0 + 0.1 * i for i in range(9)}
    runs = write_suite(tmp_path, skills, 2, (1, 2), clips, names)
    write_report(read_runs(runs), tmp_path / "report.html", baseline="variant0")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'class="matrix small"' in text and "Recall, 26 to 50 of 50" in text
    assert len(text) < 6e6


def test_the_size_of_a_claim_has_the_sign_of_its_sentence(tmp_path):
    """The better one is named first, whichever of the two is the baseline."""
    runs = write_suite(tmp_path, {"alpha": 4.0, "beta": 0.5, "gamma": 1.5}, clips=make_clips(5, 12))
    write_report(read_runs(runs), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    claims = re.findall(r'verdict claim">.*?<data[^>]*>(.*?)</data>.*?is better than', page, re.DOTALL)
    assert len(claims) == 3
    assert all(claim.startswith("+") for claim in claims)


def test_probabilities_and_labels_of_a_card_are_the_mean_of_the_runs(tmp_path):
    clips = make_clips(2, groups_per_fold=3)
    folder = write_suite(tmp_path, {"a": 0.0}, 2, (1, 2), clips)
    (first, *_), records = find_mistakes(read_runs(folder)), read_runs(folder)
    rows = [r.probs[r.clip_ids.index(first.clip_id)] for r in records if first.clip_id in r.clip_ids]
    assert [first.probs[n] for n in NAMES] == pytest.approx(np.mean(rows, axis=0), abs=1e-12)
    assert make_probs(clips, 0).shape == (len(clips), 4)


def test_a_name_without_room_keeps_both_ends():
    """Sessions differ at the end: ``2024-05-03_site A``, ``2024-05-03_site B``."""
    assert [shorten(f"great tit 2024-05-03_site {site}", 18) for site in "AB"] == [
        "great ti…03_site A",
        "great ti…03_site B",
    ]
    assert shorten("wren", 4) == "wren"


def test_names_that_differ_in_the_middle_alone_lose_their_end():
    names = ["esc10-hop512.base-nested", "esc10-tuned.base-nested"]
    assert [shorten(name, 13, names) for name in names] == ["esc10-hop512…", "esc10-tuned.…"]
    names = ["a.long-name.of-one", "b.long-name.of-one", "b.long-name.of-two"]
    assert len({shorten(name, 10, names) for name in names}) == 3


def test_the_heading_can_be_given(written, tmp_path):
    _, records, text = written
    assert "<h1>toy</h1>" in text
    write_report(records, tmp_path / "r.html", title="Frogs & toads")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>Frogs &amp; toads</h1>" in page
    assert "<title>Frogs &amp; toads</title>" in page


def test_a_heading_of_several_names_is_broken_between_them(tmp_path):
    folder = write_suite(tmp_path, {"base": 1.5}, n_folds=2, seeds=(1,))
    write_report(folder, tmp_path / "r.html", title="one_a+two-b <c>")
    assert "<h1>one_<wbr>a+<wbr>two-<wbr>b &lt;c&gt;</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")
