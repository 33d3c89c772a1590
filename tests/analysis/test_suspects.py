"""Suspect labels: the confident joint by hand, planted flips at the head of the list, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis.records import RunError, read_runs
from earmark.analysis.suspects import estimate_errors, find_suspects, summary, suspicious_rows
from earmark.cli.main import main
from earmark.config.suite import RunConfig
from earmark.report.page import write_report
from run_folders import NAMES, make_clips, make_probs, write_run, write_suite

CLIPS = make_clips(5, groups_per_fold=8)
FLIPPED = {"1-00-0": "rain", "3-02-1": "siren", "5-05-3": "bark"}


def write_flipped(folder, seeds=(1, 2), labels_only=False):
    """Runs that know the true labels well, in folders with three wrong ones."""
    wrong = [replace(c, label=FLIPPED.get(c.clip_id, c.label)) for c in CLIPS]
    for fold in range(1, 6):
        for seed in seeds:
            test = [c for c in CLIPS if c.fold == fold]
            config = RunConfig(name="toy", variant="net", fold=fold, seed=seed)
            write_run(folder, config, wrong, make_probs(test, [fold, seed], skill=5.0))
    return folder / "toy"


def test_the_confident_joint_of_the_paper():
    """Worked by hand: thresholds 0.5975 and 0.65. Of the first label, the fourth clip reaches none and is not counted,
    the third counts to the other class; of the second label, the sixth reaches none."""
    probs = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.59, 0.41], [0.3, 0.7], [0.4, 0.6]])
    targets = np.array([0, 0, 0, 0, 1, 1])
    assert estimate_errors(probs, targets) == pytest.approx(4 * 1 / 3), "one of the three counted clips of four"
    assert suspicious_rows(probs, targets).tolist() == [2]


def test_the_least_self_confident_come_first_and_the_list_ends_at_the_estimate():
    probs = np.full((40, 2), 0.5)
    targets = np.repeat([0, 1], 20)
    probs[np.arange(40), targets], probs[np.arange(40), 1 - targets] = 0.8, 0.2
    for row, self_confidence in ((3, 0.2), (25, 0.1), (30, 0.15)):
        probs[row, targets[row]], probs[row, 1 - targets[row]] = self_confidence, 1 - self_confidence
    probs[7] = [0.45, 0.55]  # wrong, but no more probable than the second class is for its own clips
    assert suspicious_rows(probs, targets).tolist() == [25, 30, 3]


def test_flipped_labels_are_at_the_head_with_their_true_class(tmp_path):
    found = find_suspects(read_runs(write_flipped(tmp_path)))
    true = {c.clip_id: c.label for c in CLIPS}
    head = {s.clip_id: s.suggested for s in found.clips[:3]}
    assert head == {clip_id: true[clip_id] for clip_id in FLIPPED}
    assert found.n_clips == len(CLIPS) and 3 <= len(found.clips) <= 6
    order = [s.label_probability for s in found.clips]
    assert order == sorted(order) and all(len(s.runs) == 2 for s in found.clips)


def test_the_command_lists_them_and_writes_the_csv(tmp_path, capsys):
    runs = write_flipped(tmp_path)
    assert main(["audit", "--runs", str(runs), "--suspects", str(tmp_path / "new" / "s.csv")]) in (None, 0)
    assert set(FLIPPED) <= set(capsys.readouterr().out.split())
    header, first, *_ = (tmp_path / "new" / "s.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("rank,clip_id,group,label,suggested") and first.split(",")[1] in FLIPPED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to audit; give a manifest (clips.csv), --runs RUNS, or both"),
        (["--suspects", "s.csv"], "--variant and --suspects are about runs: give --runs RUNS as well"),
        (["--runs", "RUNS", "--variant", "nett"], "variant = 'nett': no variant of these runs; did you mean 'net'?"),
    ],
)
def test_what_cannot_be_audited_is_refused(tmp_path, capsys, arguments, message):
    runs = str(write_flipped(tmp_path, seeds=(1,)))
    with pytest.raises(SystemExit) as status:
        main(["audit", *(runs if a == "RUNS" else a for a in arguments)])
    assert status.value.code == 2 and message in capsys.readouterr().err


def test_one_variant_is_chosen_and_runs_of_several_suites_are_refused(tmp_path):
    records = read_runs(write_suite(tmp_path, {"weak": 0.5, "strong": 4.0}, seeds=(1,)))
    assert find_suspects(records, "strong").variants == ("strong",)
    assert {r.variant for s in find_suspects(records, "strong").clips for r in s.runs} <= {"strong"}
    assert find_suspects(records).variants == ("strong", "weak")
    other = [replace(r, config=replace(r.config, name="other")) for r in records[:1]]
    with pytest.raises(RunError, match="runs of 2 suites"):
        find_suspects([*records, *other])


def test_so_many_suspects_that_the_predictions_are_to_blame(tmp_path):
    few = find_suspects(read_runs(write_flipped(tmp_path)))
    many = replace(few, n_clips=len(few.clips))
    assert "weak predictions" in summary(many) and "weak predictions" not in summary(few)


def test_the_report_has_a_card_for_each_at_the_head(tmp_path):
    write_report(read_runs(write_flipped(tmp_path)), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="labels"') :]
    assert all(f'href="#clip-{clip_id}"' in section and f'id="clip-{clip_id}"' in page for clip_id in FLIPPED)
    assert page.count('id="clip-1-00-0"') == 1
    assert set(NAMES) >= set(FLIPPED.values())
