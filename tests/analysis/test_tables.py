"""Tables: what they print is what the aggregate says, in each format, with names escaped."""

import csv
import re
from dataclasses import replace

import pytest
from earmark.analysis.summary import METRICS

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import percent, write_tables
from earmark.analysis.verdicts import p_text, points, power_text, verdict_text
from earmark.config.suite import RunConfig
from run_folders import make_clips, write_suite


def tables_of(result, folder) -> dict[str, str]:
    """The text of each file that `write_tables` writes."""
    write_tables(result, folder / "out")
    return {path.name: path.read_text(encoding="utf-8") for path in (folder / "out").iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    result = aggregate(read_runs(write_suite(folder, {"none": 1.5, "se": 3.0}, clips=make_clips(5, 6, 6))))
    return result, tables_of(result, folder)


def test_csv_holds_every_number_in_full(written):
    result, files = written
    rows = list(csv.DictReader(files["results.csv"].splitlines()))
    assert len(rows) == 2 * len(METRICS)
    for row in rows:
        variant = next(v for v in result.variants if v.variant == row["variant"])
        summary = variant.metrics[row["metric"]]
        for name in ("mean", "std_folds", "n_folds", "std_seeds", "n_seeds", "pooled", "low", "high"):
            value = getattr(summary, name)
            assert (float(row[name]) if row[name] else None) == value
    comparisons = list(csv.DictReader(files["comparisons.csv"].splitlines()))
    assert [float(c["p_holm"]) for c in comparisons] == [c.p_holm for c in result.comparisons]
    assert float(comparisons[0]["clip_interval_low"]) == result.comparisons[0].clip_interval.low
    groups = list(csv.DictReader(files["groups.csv"].splitlines()))
    assert len(groups) == 60


def test_markdown_and_latex_print_the_pooled_value_with_its_interval(written):
    result, files = written
    for variant in result.variants:
        m = variant.metrics["uar"]
        assert (
            f"| {variant.variant} | {percent(m.pooled)} | {percent(m.low)} to {percent(m.high)} |"
            in files["results.md"]
        )
        assert f"{percent(m.pooled)} {{\\scriptsize [{percent(m.low)}, {percent(m.high)}]}}" in files["results.tex"]
    assert verdict_text(result.verdicts[0]) in files["results.md"]


def test_terminal_shows_the_headline_in_aligned_columns(written, tmp_path):
    result, _ = written
    text = write_tables(result, tmp_path)
    header, none, se, *_ = text.splitlines()
    assert len(header) == len(none) == len(se)
    accuracy = result.variants[1].metrics["accuracy"]
    assert se.split()[1:5] == [percent(accuracy.pooled), percent(accuracy.low), "to", percent(accuracy.high)]
    assert verdict_text(result.verdicts[0]) in text


def test_markdown_tables_have_as_many_cells_in_every_row(written):
    _, files = written
    for table in re.findall(r"(?:^\|.*\n?)+", files["results.md"], flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_names_are_escaped(tmp_path):
    clips = [replace(c, group=c.group + "|<b>") for c in make_clips(3)]
    base = RunConfig(name="50%_of|it")
    result = aggregate(read_runs(write_suite(tmp_path, {"a_b&c": 1.0, "d#": 1.0}, 3, (1,), clips, base=base)))
    files = tables_of(result, tmp_path)
    assert r"a\_b\&c &" in files["results.tex"] and r"50\%\_of$|$it" in files["results.tex"]
    assert r"a\_b&c" in files["results.md"] and r"source1-0\|\<b\>" in files["results.md"]


def test_a_single_variant_has_tables_too(tmp_path):
    result = aggregate(read_runs(write_suite(tmp_path, {"only": 1.0}, 3, (1,))))
    files = tables_of(result, tmp_path)
    assert "Paired differences" not in files["results.md"]
    assert files["comparisons.csv"].count("\n") >= 1


def test_marks_stand_beside_names_and_are_explained(tmp_path):
    split = {"kind": "folds", "waiver": "w", "waived_groups": ["1"], "leaks": ["a leak"]}
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 1, "b": 1}, 3, (1,), split=split)))
    files = tables_of(result, tmp_path)
    assert "| a ‡† |" in files["results.md"] and "LEAKAGE" in files["results.md"]
    assert r"a\ddag{}\dag{}" in files["results.tex"] and "training has seen" in files["results.tex"]


# --- wording


@pytest.fixture(scope="module")
def comparison(written):
    return written[0].verdicts[0]


def test_a_claim_names_the_better_one_its_size_interval_and_p(comparison):
    c = replace(comparison, difference=0.012, low=0.003, high=0.021, p_holm=0.0104, n_comparisons=1)
    text = "is better than none by 1.2 points of accuracy, 95 % interval 0.3 to 2.1, p = 0.010."
    assert verdict_text(c) == f"se {text}"
    turned = replace(c, variant="none", baseline="se", difference=-0.012, low=-0.021, high=-0.003)
    assert turned.verdict == "worse"
    assert verdict_text(turned) == f"se {text}"
    assert "after Holm's correction for 3 comparisons" in verdict_text(replace(c, n_comparisons=3))
    for across in (replace(c, low=-0.004), replace(turned, high=0.004)):
        assert "interval −0.4 to 2.1" in verdict_text(across)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"runs_needed": 60}, " in 4 of 5 cases; to find 1 point, it takes about 60 runs each."),
        ({"runs_needed": 60, "runs_needed_is_minimum": True}, "it takes at least 60 runs each."),
        ({"runs_needed": None}, "it takes more clips."),
        ({"runs_needed": 10}, "of 3.1 points in 4 of 5 cases."),
    ],
)
def test_no_difference_says_what_could_have_been_found(comparison, changes, text):
    found = {"p": 0.6, "p_holm": 0.6, "difference": -0.004, "low": -0.02, "high": 0.012}
    c = replace(comparison, **found, detectable=0.031, n_pairs=15, **changes)
    assert verdict_text(c) == (
        "se and none: no difference in accuracy that 15 runs each could show "
        "(−0.4 points, 95 % interval −2.0 to +1.2, p = 0.60)."
    )
    assert power_text(c).startswith("So many runs find a true difference of 3.1 points")
    assert power_text(c).endswith(text)


def test_a_difference_that_the_correction_takes_away_says_so(comparison):
    c = replace(comparison, p=0.035, p_holm=0.105, n_comparisons=3)
    assert "p = 0.035, but p = 0.10 after Holm's correction for 3 comparisons)." in verdict_text(c)


def test_a_claim_needs_no_word_on_power(comparison):
    assert comparison.verdict == "better"
    assert power_text(comparison) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_pairs": 1, "n_folds": 1}, "1 run each on 1 fold, and the tests need 3 folds (or 3 seeds of one fold)"),
        ({"n_pairs": 6, "n_folds": 2}, "6 runs each on 2 folds"),
        ({"n_groups": 4}, "4 groups of clips, and the tests need 6"),
        ({}, "every fold shows the same difference"),
    ],
)
def test_too_few_runs_are_said_to_be_too_few(comparison, changes, text):
    c = replace(comparison, p=None, p_holm=None, low=None, high=None, **changes)
    assert c.verdict == "not enough runs"
    assert verdict_text(c).startswith("Not enough runs to tell se from none (")
    assert text in verdict_text(c)


def test_numbers_in_words():
    assert [points(v, signed=True) for v in (0.0123, -0.0123, 0.0, -0.0001)] == ["+1.2", "−1.2", "0.0", "0.0"]
    assert [p_text(p) for p in (0.00004, 0.0123, 0.25, 1.0)] == ["p < 0.001", "p = 0.012", "p = 0.25", "p = 1.00"]
