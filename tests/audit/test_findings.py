"""The audit in words, in the report and on disk."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from earmark.audit.findings import findings, format_audit, has_leaks
from earmark.audit.record import AuditError, AuditReport, Pair, read_audit
from earmark.audit.shortcuts import Shortcut
from earmark.report.audit import audit_section
from earmark.runtime.files import write_json


def pair(first: str = "a", second: str = "b", **changed) -> Pair:
    plain = {"exact": False, "correlation": 0.9, "offset_seconds": 0.5, "shared_seconds": 2.0}
    plain |= {"groups": ("g", "h"), "labels": ("x", "x"), "folds": (None, None), "subsets": ("", "")}
    return Pair(first, second, **{**plain, **changed})


FOLDS = {"fold 1": {"x": 5}, "fold 2": {"x": 5}}
LENGTH = Shortcut("label", "length", 0.9, 0.5, 0.6)


class TestText:
    plain = AuditReport(n_clips=10, n_groups=5, n_labels=1, n_folds=5, balance={"all": {"x": 10}})

    def with_(self, **changed) -> AuditReport:
        return AuditReport(**{**self.plain.__dict__, **changed})

    @pytest.mark.parametrize(
        ("changed", "level", "text"),
        [
            ({"split": "folds, fold 1", "leaks": ["group 'g' (train, test)"]}, "leak", "group 'g'"),
            ({"split": "folds, fold 1", "waived": ["131943"]}, "note", "131943 cross subsets under the waiver"),
            ({"groups_across_folds": {"131943": [2, 3]}}, "note", "esc50-published-folds"),
            ({"groups_across_folds": {"131943": [2, 3], "x": [1, 2]}}, "leak", "x (folds 1, 2)"),
            ({"pairs": [pair(folds=(1, 2))]}, "leak", "shared audio across folds"),
            ({"split": "mine", "pairs": [pair(folds=(1, 2))]}, "warning", "shared audio across folds"),
            ({"pairs": [pair()]}, "warning", "shared audio across groups"),
            ({"pairs": [pair(groups=("g", "g"))]}, "note", "shared audio within groups"),
            ({"pairs": [pair(labels=("x", "y"))]}, "warning", "shared audio, two labels"),
            ({"images_only": True, "pairs": [pair(folds=(1, 2))]}, "warning", "similar images across folds"),
            ({"mixed_groups": {"g": {"x": 1, "y": 1}}, "n_groups": 20}, "warning", "g (x, y)"),
            ({"mixed_groups": {"g": {"x": 1, "y": 1}}}, "note", "as with speakers"),
            ({"scarce_labels": {"x": 3}}, "warning", "x (3)"),
            ({"balance": {"all": {"x": 3, "y": 1}}}, "note", "1 to 3 clips per label"),
            ({"clipped": {"a": 0.012}}, "warning", "a (1.2%)"),
            ({"near_silent": {"a": -75.0}}, "warning", "a (-75 dB)"),
            ({"unreadable": {"a": "broken"}}, "warning", "`earmark validate`"),
            ({"has_groups": False}, "warning", "each file is its own group"),
            ({}, "ok", "shared audio"),
            ({"balance": FOLDS}, "ok", "groups across folds none"),
            ({"balance": FOLDS, "pairs": [pair(folds=(1, 1))]}, "ok", "shared audio across folds none"),
            ({"sample_rates": {"44100": 9, "48000": 1}}, "warning", "44100 Hz (9 clips), 48000 Hz (1 clip)"),
            ({"shortcuts": [LENGTH]}, "warning", "train.window_seconds"),
        ],
    )
    def test_each_finding_has_its_level(self, changed, level, text):
        report = self.with_(**changed)
        hits = [f for f in findings(report) if text in f"{f.check} {f.found} {f.remedy}"]
        assert [f.level for f in hits] == [level]
        assert text.removesuffix(" none") in format_audit(report)
        assert has_leaks(report) == (level == "leak")

    def test_the_worst_comes_first(self):
        report = self.with_(pairs=[pair(), pair(folds=(1, 2))], scarce_labels={"x": 1})
        levels = [f.level for f in findings(report)]
        assert levels == sorted(levels, key=("leak", "warning", "note", "ok").index)

    def test_long_lists_are_cut_and_say_so(self):
        report = self.with_(pairs=[pair(f"a{i}", f"b{i}") for i in range(50)])
        text = format_audit(report)
        assert "and 45 more" in text and "(the first 20 of 50)" in text and "a19" in text and "a20" not in text

    def test_the_report_shows_what_the_file_says_and_nothing_as_markup(self, tmp_path):
        shortcuts = [Shortcut("label", "duration", 0.41, 0.25, 0.27)]
        report = self.with_(pairs=[pair("<script>", "&amp")], balance={"all": {"<b>": 1}}, shortcuts=shortcuts)
        write_json(tmp_path / "audit.json", report.to_dict())
        assert read_audit(tmp_path / "audit.json") == report
        html = audit_section(read_audit(tmp_path / "audit.json"), ()).body
        assert "<script>" not in html and "&lt;script&gt;" in html and "&amp;amp" in html and "<b>" not in html
        assert "duration" in html and "41.0%" in html
        open_tags: list[str] = []
        parser = HTMLParser()
        parser.handle_starttag = lambda name, attributes: open_tags.append(name)
        parser.handle_endtag = lambda name: open_tags.pop() == name or pytest.fail(name)
        parser.feed(html)
        assert open_tags == []

    def test_the_report_refuses_an_audit_of_other_recordings(self):
        def run(digest):
            return SimpleNamespace(manifest_digest=digest)

        report = self.with_(manifest_digest="mine")
        assert "may be of others" not in audit_section(report, [run("mine")]).lead
        assert "may be of others" in audit_section(report, [run("mine"), run("")]).lead
        for others in ([run("other")], [run("mine"), run("other")]):
            with pytest.raises(AuditError, match=r"of other recordings .*earmark audit CLIPS\.csv --json"):
                audit_section(report, others)

    @pytest.mark.parametrize("content", ["{}", "[1]", "{", '{"pairs": [{"a": 1}], "shortcuts": []}'])
    def test_another_file_is_refused_in_one_line(self, tmp_path, content):
        (tmp_path / "audit.json").write_text(content, encoding="utf-8")
        with pytest.raises(
            AuditError, match=r"audit .*audit\.json: is not an audit .*earmark audit clips\.csv --json"
        ) as raised:
            read_audit(tmp_path / "audit.json")
        assert "\n" not in str(raised.value)

    def test_a_file_of_version_1_is_read(self, tmp_path):
        pairs = [{**pair().__dict__, "parts": ["train", "test"], "score": 0.8}]
        for old in pairs:
            del old["subsets"], old["correlation"]
        shortcut = {"target": "part", "feature": "length", "accuracy": 0.4, "chance": 0.2, "best_shuffled": 0.3}
        content = {"n_clips": 2, "n_groups": 2, "n_labels": 1, "n_folds": 5, "pairs": pairs, "shortcuts": [shortcut]}
        (tmp_path / "audit.json").write_text(json.dumps(content))
        report = read_audit(tmp_path / "audit.json")
        assert report.pairs == [pair(subsets=("train", "test"), correlation=0.8)]
        assert report.shortcuts[0].target == "subset" and report.manifest_digest == ""

    def test_a_newer_file_is_refused(self, tmp_path):
        write_json(tmp_path / "audit.json", self.plain.to_dict() | {"format_version": 3})
        with pytest.raises(AuditError, match="format_version 3 is newer"):
            read_audit(tmp_path / "audit.json")


class TestPairs:
    """Pairs are named with offset and correlation, in findings and in the table of text and report alike."""

    report = AuditReport(10, 5, 1, 5, pairs=[pair(groups=("g", "g")), pair("c", "d", exact=True)])

    def test_pairs_within_a_group_are_named_too(self):
        text = format_audit(AuditReport(**{**self.report.__dict__, "balance": {"all": {"x": 10}}}))
        assert "1 pair: a = b (+0.500 s, correlation 0.90)" in text and "1 pair: c = d (exact)" in text
        assert "+0.500 s" in text.split("Pairs")[1]

    def test_copies_are_sets_of_exact_copies_and_pairs_of_others(self):
        pairs = [pair("a", "b", exact=True), pair("b", "c", exact=True), pair("d", "e", exact=True), pair("a", "x")]
        report = AuditReport(10, 5, 1, 5, pairs=pairs)
        assert report.copies == [("a", "b", "c"), ("d", "e"), ("a", "x")]
        assert AuditReport(10, 5, 1, 5, pairs=pairs, images_only=True).copies == []
