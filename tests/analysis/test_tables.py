"""Tables: what they print is what the aggregate says, in each format, with names escaped."""

import csv
import re
from dataclasses import replace

import pytest

from earmark.analysis.aggregate import METRICS, aggregate
from earmark.analysis.headline import headline
from earmark.analysis.latex import results_latex
from earmark.analysis.paired_model import Components
from earmark.analysis.records import read_runs
from earmark.analysis.rows import (
    MARKS,
    UNGROUPED_MARK,
    Number,
    difference_table,
    metric_table,
    pair_table,
    settings_table,
)
from earmark.analysis.tables import all_tables, confusion_csv, protocol, terminal_text, write_tables
from earmark.analysis.verdicts import (
    assumption_text,
    best_text,
    detectable_text,
    group_power_text,
    p_text,
    percent,
    points,
    power_text,
    probabilities_text,
    probability_text,
    verdict_text,
)
from earmark.config.suite import RunConfig, merge
from earmark.runtime.errors import EarmarkError
from earmark.runtime.text_tables import align_columns, escape_markdown
from run_folders import make_clips, make_probs, write_run, write_suite


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
    for row, c in zip(comparisons, result.comparisons, strict=True):
        for name in ("low", "high", "p", "probability_better", "probability_equal", "probability_worse", "detectable"):
            assert float(row[name]) == getattr(c.judgment, name)
        assert (float(row["difference"]), row["verdict"]) == (c.difference, c.verdict)
        assert float(row["variance_groups"]) == c.judgment.variance.groups
    groups = list(csv.DictReader(files["groups.csv"].splitlines()))
    assert len(groups) == 60


def test_the_confusion_matrices_are_a_table(written):
    result, files = written
    rows = list(csv.DictReader(files["confusion.csv"].splitlines()))
    assert list(rows[0]) == ["variant", "label", "prediction", "n_clips", "fraction"]
    for v in result.variants:
        own = {(r["label"], r["prediction"]): r for r in rows if r["variant"] == v.variant}
        assert len(own) == len(result.class_names) ** 2
        for i, label in enumerate(result.class_names):
            cells = [own[label, prediction] for prediction in result.class_names]
            assert [int(r["n_clips"]) for r in cells] == v.confusion[i]
            assert sum(float(r["fraction"]) for r in cells) == pytest.approx(1)
    unseen = replace(result.variants[0], confusion=[[0] * 4] * 4)
    empty = confusion_csv(replace(result, variants=(unseen,))).splitlines()
    assert empty[1] == "none,bark,bark,0,", "a class without clips has no fractions"


def test_markdown_and_latex_print_the_pooled_value_with_its_interval(written):
    result, files = written
    for variant in result.variants:
        m = variant.metrics["uar"]
        assert (
            f"| {variant.variant} | {percent(m.pooled)} | {percent(m.low)} to {percent(m.high)} |"
            in files["results.md"]
        )
        assert f"{percent(m.pooled)} {{\\scriptsize [{percent(m.low)} to {percent(m.high)}]}}" in files["results.tex"]
    assert escape_markdown(verdict_text(result.verdicts[0])) in files["results.md"]


def test_every_cell_of_every_table_stands_in_the_markdown_file(written):
    result, files = written
    for table in all_tables(result):
        assert f"## {table.title}\n" in files["results.md"]
        for row in table.rows:
            assert len(row) == len(table.header)
            for number in (part for cell in row for part in cell.main if isinstance(part, Number)):
                assert number.text.replace("<", r"\<").replace(">", r"\>") in files["results.md"]


def test_rows_carry_their_full_values(written):
    result, _ = written
    first = metric_table(result, "accuracy").rows[0]
    m = result.variants[0].metrics["accuracy"]
    assert first[1].main == (Number(m.pooled, percent(m.pooled)),)
    assert [part.value for part in first[2].main if isinstance(part, Number)] == [m.low, m.high]
    c = result.comparisons[0]
    assert difference_table(result).rows[0][3].main == (Number(c.difference, points(c.difference, True)),)


def test_terminal_shows_the_headline_in_aligned_columns(written, tmp_path):
    result, _ = written
    text = write_tables(result, tmp_path)
    header, none, se, *_ = text.splitlines()
    assert len(header) == len(none) == len(se)
    accuracy = result.variants[1].metrics["accuracy"]
    assert se.split()[1:5] == [percent(accuracy.pooled), percent(accuracy.low), "to", percent(accuracy.high)]
    assert verdict_text(result.verdicts[0]) in text


def test_of_several_pairs_a_terminal_has_a_table_and_what_would_decide_the_largest_open_one(tmp_path):
    skill = {"none": 1.5, "se": 3.0, "cbam": 1.5}
    result = aggregate(read_runs(write_suite(tmp_path, skill, clips=make_clips(5, 6, 6))))
    answer, _, title, *table, legend, _, power, best, _ = terminal_text(result).split("\n\n", 1)[1].split("\n")[:12]
    assert (answer, title) == (headline(result), "Differences in accuracy, points:")
    assert table == align_columns(pair_table(result).texts()).splitlines()
    assert len(table) == 1 + 3 and len({len(line) for line in table}) == 1
    for line, c in zip(table[1:], result.verdicts, strict=True):
        cells = re.split(r"  +", line)
        assert cells[:3] == [f"{c.variant} − {c.baseline}", c.verdict, points(c.difference, True)]
    assert "for all 3 comparisons together" in legend and "above 1 point" in legend
    undecided = [c for c in result.verdicts if c.verdict == "undecided"]
    assert undecided and power == group_power_text(result.verdicts)
    effect = f"Minimum detectable effect of the undecided pairs at 80 % power: {detectable_text(undecided)}. "
    assert power.startswith(f"{effect}To detect ") and len(undecided) < len(result.verdicts)
    assert "highest score" in best


def test_markdown_tables_have_as_many_cells_in_every_row(written):
    _, files = written
    for table in re.findall(r"(?:^\|.*\n?)+", files["results.md"], flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_latex_has_the_differences_and_labels_to_refer_to(written):
    result, files = written
    (c,), tex = result.verdicts, files["results.tex"]
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") == 2
    assert r"\label{tab:toy}" in tex and r"\label{tab:toy-differences}" in tex
    p = p_text(c.judgment.p).removeprefix("p = ").removeprefix("p ").replace("<", "$<$")
    interval = f"{points(c.judgment.low, True)} to {points(c.judgment.high, True)}"
    assert f"se $-$ none & {points(c.difference, True)} & {interval} & {p} & better \\\\\n" in tex
    assert "practically equal is a difference of at most 1 point" in tex
    three = replace(result, comparisons=(replace(c, n_comparisons=3),))
    assert "training sets and, like p, is for all comparisons together;" in results_latex(three, "")
    assert r"\label{tab:a_b-c}" in results_latex(replace(three, name="a_b}c"), "")


def test_names_are_escaped(tmp_path):
    clips = [replace(c, group=c.group + "|<b>") for c in make_clips(3)]
    result = aggregate(read_runs(write_suite(tmp_path, {"a_b": 1.0, "d+": 1.0}, 3, (1,), clips)))
    result = replace(result, name="50%_of|it&")
    files = tables_of(result, tmp_path)
    assert r"a\_b &" in files["results.tex"] and r"50\%\_of$|$it\&" in files["results.tex"]
    assert r"a\_b" in files["results.md"] and r"source1-0\|\<b\>" in files["results.md"]


def test_the_caption_explains_no_column_that_the_table_lacks(written):
    """It spoke of "all folds", "mean" and the calibration error, which only the Markdown has."""
    caption = written[1]["results.tex"].split(r"\caption{")[1].split("\n")[0]
    assert "The metric of the clips of all folds together" in caption and "groups of clips" in caption
    assert not [word for word in ("All folds:", "Mean:", "calibration") if word in caption]


def test_what_a_spreadsheet_or_latex_would_run_stays_text(tmp_path):
    hostile = ("=HYPERLINK(A1)", "+1", "-1", "@SUM(A1)", r"\input{/etc/passwd}$x$")
    clips = [replace(c, group=f"{hostile[i % 5]}{c.group}") for i, c in enumerate(make_clips(3, clips_per_group=1))]
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 1.0, "+b": 1.0}, 3, (1,), clips)))
    files = tables_of(replace(result, name=hostile[4]), tmp_path)
    for name in ("results.csv", "comparisons.csv", "groups.csv", "confusion.csv"):
        rows = list(csv.reader(files[name].splitlines()))
        assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+@") or re.match(r"-\D|-1s", cell)]
    groups = {row["group"] for row in csv.DictReader(files["groups.csv"].splitlines())}
    assert {"'" + c.group if c.group[0] in "=+-@" else c.group for c in clips} == groups
    assert (
        r"\textbackslash{}input\{/etc/passwd\}\$x\$" in files["results.tex"] and r"\input" not in files["results.tex"]
    )


def test_the_protocol_counts_the_seeds_of_each_variant_and_speaks_of_epochs_that_are_known(written):
    """Imports with a seed of their own made "2 seeds" of one each, and their epoch was said to be the last one."""
    result, _ = written
    none, se = result.variants
    assert protocol(result).endswith("30 runs: 2 variants, 5 folds, 3 seeds; the last epoch is kept.")

    def ends(selected_on=("none",), **changes):
        changed = replace(result, selected_on=selected_on, variants=(none, replace(se, **changes)))
        return protocol(changed).split("2 variants, ")[1]

    assert ends(seeds=(7, 8, 9)) == "5 folds, 3 seeds each; the last epoch is kept."
    assert ends(seeds=(0,), folds=(1, 2)) == "2 to 5 folds, 1 to 3 seeds; the last epoch is kept."
    assert ends(settings={}) == "5 folds, 3 seeds; of the variants that earmark trained, the last epoch is kept."
    assert ends(("none", "valid")) == "5 folds, 3 seeds; the last epoch or the best one on valid is kept."
    assert ends(()) == "5 folds, 3 seeds."


def test_a_single_variant_has_tables_too(tmp_path):
    result = aggregate(read_runs(write_suite(tmp_path, {"only": 1.0}, 3, (1,))))
    files = tables_of(result, tmp_path)
    assert "Paired differences" not in files["results.md"]
    assert headline(result) in files["results.md"].replace("\\", "")
    assert best_text(result) == assumption_text(result) == ""
    assert files["comparisons.csv"] == "variant,baseline,metric\n"
    assert files["results.tex"].count(r"\begin{table}") == 1


def test_marks_stand_beside_names_and_are_explained(tmp_path):
    split = {"kind": "folds", "waiver": "w", "waived_groups": ["1"], "leaks": ["a leak"]}
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 1, "b": 1}, 3, (1,), split=split)))
    files = tables_of(result, tmp_path)
    assert "| a ‡† |" in files["results.md"] and "LEAKAGE" in files["results.md"]
    assert r"a \ddag{}\dag{}" in files["results.tex"]
    assert all(MARKS[sign] in files[name] for sign in "†‡" for name in ("results.md", "results.tex"))


def test_a_set_without_groups_is_marked_in_table_legend_and_notes(tmp_path):
    split = {"kind": "folds", "waiver": "", "waived_groups": [], "leaks": []}
    for groups, marked in (("declared", False), ("none", True)):
        folder = write_suite(tmp_path / groups, {"a": 1, "b": 1}, 3, (1,), split={**split, "groups": groups})
        result = aggregate(read_runs(folder))
        files = tables_of(result, tmp_path / groups)
        assert ("| a ◇ |" in files["results.md"]) == marked
        assert (MARKS[UNGROUPED_MARK] in files["results.md"]) == marked
        assert (r"a $\diamond$" in files["results.tex"]) == marked
        assert any("Each clip is a group of its own" in note for note in result.notes) == marked


def test_every_difference_of_settings_stands_in_a_table(tmp_path):
    changes = {
        "lr": {"train": {"lr": 0.001}},
        "decay": {"train": {"weight_decay": 0.1}},
        "weights": {"model": {"weights": "imagenet"}},
    }
    clips = make_clips(3)
    for name, change in {"plain": {}, **changes}.items():
        for fold in (1, 2, 3):
            config = merge(RunConfig(name="toy", variant=name, fold=fold), change)
            test = [c for c in clips if c.fold == fold]
            write_run(tmp_path, config, clips, make_probs(test, seed=fold))
    table = settings_table(aggregate(read_runs(tmp_path)))
    assert table.header == ("setting", "decay", "lr", "plain", "weights")
    assert table.texts()[1:] == [
        ["model.weights", "none", "none", "none", "imagenet"],
        ["train.lr", "0.003", "0.001", "0.003", "0.003"],
        ["train.weight_decay", "0.1", "0.05", "0.05", "0.05"],
    ]
    files = tables_of(aggregate(read_runs(tmp_path)), tmp_path)
    assert "## Settings that differ" in files["results.md"]


# --- wording


@pytest.fixture(scope="module")
def comparison(written):
    return written[0].verdicts[0]


def judged(c, verdict, **changes):
    """The comparison with another difference, verdict and judgment."""
    own = {"difference": changes.pop("difference", c.difference), "n_comparisons": changes.pop("n_comparisons", 1)}
    return replace(c, **own, judgment=replace(c.judgment, verdict=verdict, **changes))


def test_a_claim_names_the_better_one_its_size_interval_and_p(comparison):
    c = judged(comparison, "better", difference=0.012, low=0.003, high=0.021, p=0.0104)
    text = "is better than none by 1.2 points of accuracy (95 % interval 0.3 to 2.1, p = 0.010)."
    assert verdict_text(c) == f"se {text}"
    turned = replace(judged(c, "worse", difference=-0.012, low=-0.021, high=-0.003), variant="none", baseline="se")
    assert verdict_text(turned) == f"se {text}"
    assert "95 % interval for all 3 comparisons 0.3 to 2.1" in verdict_text(replace(c, n_comparisons=3))


def test_numbers_are_not_rounded_to_the_other_side(comparison):
    assert [p_text(p) for p in (0.04951, 0.0494, 0.05, 0.0504, 0.0996)] == [
        "p < 0.05",
        "p = 0.049",
        "p = 0.0501",
        "p = 0.0504",
        "p = 0.10",
    ]
    assert [probability_text(value) for value in (0.944, 0.9496, 0.95, 0.99)] == ["94 %", "94.9 %", "95 %", "99 %"]
    c = judged(comparison, "better", difference=0.012, low=0.0003, high=0.021, p=0.04951)
    assert "(95 % interval 0.03 to 2.1, p < 0.05)" in verdict_text(c)
    c = judged(comparison, "undecided", difference=0.012, low=-0.0003, high=0.021)
    assert "(95 % interval −0.03 to +2.1)" in verdict_text(c)


def test_probabilities_name_the_higher_score_first(comparison):
    shares = {"probability_better": 0.8, "probability_equal": 0.195, "probability_worse": 0.005}
    c = judged(comparison, "undecided", difference=0.01, **shares)
    expected = (
        "Probability of a difference of more than 1 point: se better 80 %, none better < 1 %; practically equal 20 %."
    )
    assert probabilities_text(c) == expected
    shares = {"probability_better": 0.005, "probability_equal": 0.195, "probability_worse": 0.8}
    turned = replace(judged(c, "undecided", difference=-0.01, **shares), variant="none", baseline="se")
    assert probabilities_text(turned) == expected
    assert "of more than 2.5 points: se better 80 %" in probabilities_text(replace(c, rope=0.025))
    assert probabilities_text(replace(c, judgment=None)) == ""


def test_practically_equal_says_with_which_probability(comparison):
    c = judged(comparison, "practically equal", difference=0.001, low=-0.008, high=0.01, probability_equal=0.973)
    assert verdict_text(c) == (
        "se and none are practically equal in accuracy: +0.1 points (95 % interval −0.8 to +1.0), and the probability "
        "of a difference of at most 1 point is 97 %."
    )
    assert power_text(c) == ""
    few = replace(c, differing_groups=1, n_groups=10)
    assert verdict_text(few).endswith(
        "is 97 %. Only 1 of 10 groups shows any difference; one in less than 26 % of all groups may be missed."
    )
    assert verdict_text(replace(few, differing_groups=0, n_groups=500)) == verdict_text(c)


ALL_THREE = "more seeds, folds or groups of clips alone are not enough; it takes all three, and more than about"
"""The number alone may be smaller than one that is enough by itself, which another table has for the same pair."""


@pytest.mark.parametrize(
    ("needed", "text"),
    [
        ((9, None, None), "To detect a difference of 1.5 points: 9 seeds per fold."),
        (
            (9, 12, 340),
            "To detect a difference of 1.5 points: 9 seeds per fold or 12 folds of repeated partitions or "
            "340 groups of clips.",
        ),
        ((None, None, None), f"To detect a difference of 1.5 points: {ALL_THREE} 1,200 groups of clips."),
        ((None, None, 20326), f"To detect a difference of 1.5 points: {ALL_THREE} 1,200 groups of clips."),
        ((None, 40, 20326), "To detect a difference of 1.5 points: 40 folds of repeated partitions."),
    ],
)
def test_undecided_says_what_could_be_detected_and_what_would_decide(comparison, needed, text):
    found = {"difference": -0.004, "low": -0.02, "high": 0.012, "detectable": 0.031, "goal": 0.015}
    names = ("needed_seeds", "needed_folds", "needed_groups")
    c = judged(comparison, "undecided", **found, **dict(zip(names, needed, strict=True)), least_groups=1234)
    assert verdict_text(c) == ("se against none is undecided in accuracy: −0.4 points (95 % interval −2.0 to +1.2).")
    assert power_text(c).startswith(f"Minimum detectable effect at 80 % power: 3.1 points. {text}")


def test_networks_as_they_are_have_no_more_seeds_and_folds(comparison):
    """Where even 100 times the groups are too few."""
    counts = {"needed_seeds": None, "needed_folds": None, "needed_groups": None, "least_groups": 4321}
    c = judged(comparison, "undecided", **counts, goal=0.015, variance=Components(0.001, 0.0, 0.0))
    assert power_text(c).endswith("To detect a difference of 1.5 points: more than about 4,300 groups of clips.")


def test_the_goal_is_called_the_limit_of_practically_equal_where_it_is(comparison):
    """ "A difference of 1.0 points" seemed to be the one that was found."""
    small = {"difference": 0.004, "goal": comparison.rope, "needed_seeds": None, "needed_folds": None}
    limit = "a difference as small as 1 point, the limit of practically equal"
    c = judged(comparison, "undecided", **small, needed_groups=340, least_groups=300)
    assert power_text(c).endswith(f"To detect {limit}: 340 groups of clips.")
    c = judged(comparison, "undecided", **small, needed_groups=None, least_groups=50)
    assert power_text(c).endswith(f"To detect {limit}: {ALL_THREE} 50 groups of clips.")


def test_tables_of_the_user_are_not_replaced(tmp_path):
    result = aggregate(read_runs(write_suite(tmp_path / "runs", {"none": 1.5})))
    write_tables(result, tmp_path / "tables")
    write_tables(result, tmp_path / "tables")
    (tmp_path / "tables" / "groups.csv").write_text("subject,age\n1,30\n")
    (tmp_path / "tables" / "results.csv").write_text("")
    with pytest.raises(EarmarkError, match=r"groups\.csv: exists and is no such table of earmark"):
        write_tables(result, tmp_path / "tables")
    assert (tmp_path / "tables" / "results.csv").read_text() == "", "nothing is written"


def test_no_effect_of_more_than_100_points_is_called_detectable(comparison):
    assert "power: over 100.0 points." in power_text(judged(comparison, "undecided", detectable=1.53))


def test_a_claim_needs_no_word_on_power(comparison):
    assert comparison.verdict == "better"
    assert power_text(comparison) == ""


def test_too_few_groups_are_named(comparison):
    c = replace(comparison, judgment=None, n_groups=4)
    assert c.verdict == "too few groups"
    assert verdict_text(c) == "Too few groups of clips to compare se with none: 4 groups, and a comparison needs 6."


def test_too_few_groups_for_every_pair_are_said_once(written):
    result, _ = written
    (c,) = result.verdicts
    few = tuple(replace(c, judgment=None, n_groups=4, baseline=name) for name in "ab")
    text = terminal_text(replace(result, comparisons=few))
    assert text.count("Too few groups") == 1 and "compare the 2 variants" in text


def test_the_answer_of_several_comparisons_is_one_sentence(written):
    result, _ = written
    (c,) = result.verdicts
    assert headline(result) == verdict_text(c)

    def answer(*verdicts, pairs=(("b", "a"), ("c", "a"), ("c", "b"))):
        found = [
            replace(judged(c, verdict, difference=size), variant=pair[0], baseline=pair[1])
            for (verdict, size), pair in zip(verdicts, pairs, strict=True)
        ]
        variants = tuple(replace(result.variants[0], variant=name) for name in "abc")
        return headline(replace(result, comparisons=tuple(found), variants=variants))

    open_ = ("undecided", -0.021)
    assert answer(open_, ("undecided", -0.03), ("undecided", 0.01)) == (
        "These runs cannot tell the 3 variants apart in accuracy: the largest difference is 3.0 points (a over c), "
        f"and it takes {points(c.judgment.detectable)} points to be detected reliably."
    )
    assert answer(open_, ("better", 0.05), ("better", 0.06)) == (
        "c is better than all other variants in accuracy (a, b)."
    )
    assert answer(("worse", -0.05), open_, ("practically equal", 0.001)) == (
        "In accuracy: a is better than b; 1 pair practically equal; 1 pair undecided."
    )
    assert answer(("better", 0.05), ("better", 0.06), open_) == (
        "In accuracy: b, c are better than a; 1 pair undecided."
    )
    assert answer(open_, open_, ("practically equal", 0.001)) == (
        "No variant is shown to be better in accuracy: 1 pair practically equal, 2 pairs undecided."
    )
    assert answer(*[("practically equal", 0.0)] * 3) == "The 3 variants are practically equal in accuracy."
    of_baseline = [("b", "a"), ("c", "a")]
    assert answer(*[("practically equal", 0.0)] * 2, pairs=of_baseline) == (
        "All other variants are practically equal to a in accuracy."
    ), "b and c were not compared"
    assert answer(open_, ("undecided", 0.0), pairs=of_baseline).startswith(
        "These runs cannot tell any variant from a in accuracy: the largest difference is 2.1 points (a over b), and"
    )
    assert "is 0.0 points, and it takes" in answer(*[("undecided", 0.0)] * 3), "nobody is ahead"


def test_the_best_score_says_among_how_many_it_was_chosen(written):
    result, files = written
    b = result.best
    assert "highest score on the runs that all variants have, 1.0 %" in best_text(
        replace(result, best=replace(b, score=0.01))
    )
    assert best_text(result) == (
        f"se has the highest score, {percent(b.score)} %; corrected for choosing the best of 2: "
        f"{percent(b.corrected)} %."
    )
    assert best_text(result) in files["results.md"]


def test_variants_that_share_the_highest_score_are_named(tmp_path):
    clips = make_clips(2, groups_per_fold=8)
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 100.0, "b": 0.0, "c": 100.0}, 2, (1,), clips)))
    assert (result.best.variant, result.best.tied, result.best.corrected) == ("a", ("c",), 1.0)
    assert best_text(result).startswith("a, c share the highest score, ")


def test_what_the_runs_did_not_vary_is_reported_as_assumed(written):
    result, _ = written
    assert assumption_text(result) == ""
    c = judged(result.verdicts[0], "better", training_set_assumed=True)
    c = replace(c, judgment=replace(c.judgment, variance=Components(1e-4, 1e-4, 0.0123**2)))
    text = assumption_text(replace(result, comparisons=(c,)))
    assert text.startswith("No variant has several training sets, so ")
    assert text.endswith(" (standard deviation 1.2 points).")
    c = judged(result.verdicts[0], "better", seeds_assumed=True)
    assert assumption_text(replace(result, comparisons=(c,))).startswith("Every fold has one seed, so ")


def test_numbers_in_words():
    assert [points(v, signed=True) for v in (0.0123, -0.0123, 0.0, -0.0001)] == ["+1.2", "−1.2", "0.0", "0.0"]
    assert [p_text(p) for p in (0.00004, 0.0123, 0.25, 1.0)] == ["p < 0.001", "p = 0.012", "p = 0.25", "p = 1.00"]
    assert [probability_text(p) for p in (0.999, 0.99, 0.5, 0.01, 0.0)] == ["> 99 %", "99 %", "50 %", "1 %", "< 1 %"]
