"""The commands import, compare and embed."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from backbones import write_onnx
from commands import run
from earmark.cli.judge import meets
from earmark.datasets.manifest import Clip, write_manifest
from earmark.deploy.embed import load_embedder
from earmark.deploy.info import DeployError
from earmark.runs.embeddings import read_vectors
from run_folders import NAMES, make_clips, make_probs, write_suite

CLIPS = make_clips(3)


@pytest.fixture
def folder(tmp_path):
    """A manifest, predictions of all clips and a suite of the same clips."""
    manifest = [Clip(c.clip_id, tmp_path / c.filepath, c.label, c.group, c.fold) for c in CLIPS]
    write_manifest(manifest, tmp_path / "clips.csv")
    with (tmp_path / "svm.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", *(f"prob:{name}" for name in NAMES)])
        writer.writerows([c.clip_id, *p] for c, p in zip(CLIPS, make_probs(CLIPS, 0, 0.2), strict=True))
    write_suite(tmp_path / "runs", {"net": 4.0}, 3, (1, 2), clips=CLIPS)
    return tmp_path


def test_predictions_are_imported_compared_and_reported(folder, capsys):
    table, clips = folder / "svm.csv", folder / "clips.csv"
    assert run("import", table, "--clips", clips, "--selected-on", "none", "-o", folder / "mine") == 0
    n_right = sum(NAMES[p.argmax()] == c.label for c, p in zip(CLIPS, make_probs(CLIPS, 0, 0.2), strict=True))
    assert capsys.readouterr().out.splitlines() == [
        f"{folder / 'mine'}: 3 runs of svm, 48 test clips, accuracy {100 * n_right / 48:.1f} %",
        f"next: earmark compare {folder / 'mine'} OTHER_RUNS",
    ]
    both = [folder / "mine", folder / "runs" / "toy"]
    for _ in range(2):  # what is there of an earlier call is written again
        assert run("compare", *both, "--json", folder / "v.json", "-o", folder / "tables") == 0
    assert "net is better than svm by" in capsys.readouterr().out.replace("\n", " ")
    comparison = json.loads((folder / "v.json").read_text(encoding="utf-8"))["comparisons"][0]
    assert {comparison["a"], comparison["b"]} == {"net", "svm"}
    assert comparison["verdict"] in ("better", "worse")
    assert (folder / "tables" / "results.md").is_file()
    for _ in range(2):
        assert run("report", *both, "-o", folder / "r.html") == 0
    assert "mine+toy" in (folder / "r.html").read_text(encoding="utf-8")


def test_the_accuracy_that_import_prints_counts_clips_without_an_answer(folder, capsys):
    rows = [(c.clip_id, c.label) for c in CLIPS[1:] if c.label != NAMES[0]]  # all right, as far as there are any
    with (folder / "detector.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("clip_id", "prediction"), *rows])
    given = ["--clips", folder / "clips.csv", "--missing", NAMES[1], "-o", folder / "mine"]
    assert run("import", folder / "detector.csv", *given) == 0
    n_right = sum(c.label != NAMES[0] for c in CLIPS)
    assert f"3 runs of detector, 48 test clips, accuracy {100 * n_right / 48:.1f} %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("baseline", "wanted", "status", "said"),
    [
        ("svm", "better", 0, ""),
        ("net", "undecided", 1, "svm against net: worse; --at-least undecided asks for not worse"),
        ("", "better", 2, "--at-least: give --baseline NAME"),
    ],
)
def test_a_verdict_is_an_exit_status(folder, capsys, baseline, wanted, status, said):
    run("import", folder / "svm.csv", "--clips", folder / "clips.csv", "-o", folder / "mine")
    chosen = ["--baseline", baseline, "--at-least", wanted]
    assert run("compare", folder / "mine", folder / "runs" / "toy", *chosen) == status
    assert said in capsys.readouterr().err


def test_what_was_not_compared_does_not_pass(folder, capsys):
    suite = folder / "runs" / "toy"
    assert run("compare", suite, "--baseline", "net", "--at-least", "undecided") == 1
    assert "there is no variant besides net" in capsys.readouterr().err
    run("import", folder / "svm.csv", "--clips", folder / "clips.csv", "-o", folder / "mine")
    for path in (folder / "mine").glob("svm-fold[12]-*"):
        shutil.rmtree(path)
    for path in suite.glob("net-fold3-*"):
        shutil.rmtree(path)
    assert run("compare", folder / "mine", suite, "--baseline", "net", "--at-least", "undecided") == 1
    assert "svm against net: not compared; --at-least undecided asks for not worse" in capsys.readouterr().err


def test_what_is_equal_is_at_least_undecided_and_too_few_groups_are_nothing(folder):
    write_suite(folder / "runs", {"other": 4.0}, 3, (1, 2), clips=CLIPS)
    (found,) = earmark.aggregate(folder / "runs" / "toy").verdicts

    def of(verdict, low, rope=0.01):
        return replace(found, rope=rope, judgment=replace(found.judgment, verdict=verdict, low=low))

    few = replace(found, judgment=None)
    cases = [None, few, of("worse", -0.1), of("undecided", -0.1), of("practically equal", -0.011), of("better", 0.01)]
    assert [meets(case, "equal") for case in cases] == [False, False, False, False, True, True]
    assert [meets(case, "undecided") for case in cases] == [False, False, False, True, True, True]
    assert [meets(case, "better") for case in cases] == [False] * 5 + [True]
    assert meets(of("undecided", -0.009), "equal"), "at most one point worse, perhaps better"
    assert meets(of("worse", -0.03, rope=0.05), "equal")


def test_parts_of_the_clips_are_compared_printed_and_reported(folder, capsys):
    run("import", folder / "svm.csv", "--clips", folder / "clips.csv", "--selected-on", "none", "-o", folder / "mine")
    both = [folder / "mine", folder / "runs" / "toy"]
    rows = [f"{c.clip_id},{'AB'[int(c.clip_id[-1]) % 2]}" for c in CLIPS]
    (folder / "sites.csv").write_text("\n".join(["clip_id,site", *rows]), encoding="utf-8")
    by = ["--by", "site", "--clips", folder / "sites.csv"]
    assert run("compare", *both, *by, "--json", folder / "v.json", "-o", folder / "tables") == 0
    out = capsys.readouterr().out
    assert "By site: accuracy, %" in out
    assert "site A: net is better than svm by" in out
    assert "is shown to be larger for one site than for the others (1 comparison)." in out
    written = json.loads((folder / "v.json").read_text(encoding="utf-8"))["slices"]
    assert {row["kind"] for row in written} == {"scores", "differences", "gaps", "changes"}
    assert len((folder / "tables" / "slices.csv").read_text(encoding="utf-8").splitlines()) == len(written) + 1
    assert "## Differences by site" in (folder / "tables" / "results.md").read_text(encoding="utf-8")
    assert run("report", *both, *by, "-o", folder / "r.html") == 0
    assert "By site: accuracy" in (folder / "r.html").read_text(encoding="utf-8")
    assert run("aggregate", both[1], "--by", "label") == 0
    assert "By label: recall, %" in capsys.readouterr().out
    assert run("aggregate", both[1], "--clips", folder / "sites.csv") == 2
    assert "give --by, the column that divides the clips" in capsys.readouterr().err


def test_the_confidence_for_a_precision_is_printed_and_written(folder, capsys):
    written = ["--json", folder / "v.json", "-o", folder / "tables"]
    assert run("aggregate", folder / "runs" / "toy", "--precision", "0.6", *written) == 0
    assert "Confidence for a precision of 60 %" in capsys.readouterr().out
    rows = json.loads((folder / "v.json").read_text(encoding="utf-8"))["thresholds"]
    assert [row["predicted"] for row in rows] == ["", *NAMES]
    assert rows[0]["low"] >= 0.6
    assert len((folder / "tables" / "thresholds.csv").read_text(encoding="utf-8").splitlines()) == 6


def test_labels_are_audited_by_imported_predictions(folder, capsys):
    """Probabilities rank the clips; one predicted label per clip cannot, and several seeds of them can."""
    run("import", folder / "svm.csv", "--clips", folder / "clips.csv", "-o", folder / "mine")
    capsys.readouterr()
    assert run("audit", "--runs", folder / "mine", "--suspects", folder / "s.csv") == 0
    assert "of 48 clips are suspicious according to the predictions of svm" in capsys.readouterr().out
    rows = list(csv.DictReader((folder / "s.csv").read_text(encoding="utf-8").splitlines()))
    assert rows and {row["clip_id"] for row in rows} <= {c.clip_id for c in CLIPS}

    for seeds, status in ((1, 2), (3, 0)):
        with (folder / "hard.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["clip_id", "fold", "seed", "prediction"])
            for seed in range(seeds):
                answers = make_probs(CLIPS, seed, 0.2).argmax(axis=1)
                writer.writerows([c.clip_id, c.fold, seed, NAMES[k]] for c, k in zip(CLIPS, answers, strict=True))
        hard = folder / f"hard{seeds}"
        run("import", folder / "hard.csv", "--clips", folder / "clips.csv", "-o", hard)
        assert run("audit", "--runs", hard) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert "one predicted label for each clip and no probabilities" in line
    assert run("report", folder / "hard1", "-o", folder / "hard.html") == 0
    assert "No list: these runs have one predicted label" in (folder / "hard.html").read_text(encoding="utf-8")


def test_the_option_for_the_variant_comes_before_the_column(folder, capsys):
    lines = (folder / "svm.csv").read_text(encoding="utf-8").splitlines()
    table = "\n".join([f"{lines[0]},variant", *(f"{line},tuned" for line in lines[1:])])
    (folder / "svm.csv").write_text(table, encoding="utf-8")
    for i, (option, name) in enumerate({(): "tuned", ("--variant", "other"): "other"}.items()):
        assert run("import", folder / "svm.csv", "--clips", folder / "clips.csv", *option, "-o", folder / f"m{i}") == 0
        assert f"3 runs of {name}," in capsys.readouterr().out


def test_a_refused_table_is_one_line(folder, capsys):
    lines = (folder / "svm.csv").read_text(encoding="utf-8").splitlines()
    (folder / "svm.csv").write_text("\n".join([lines[0], *lines[2:]]), encoding="utf-8")
    assert run("import", folder / "svm.csv", "--clips", folder / "clips.csv", "-o", folder / "mine") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("earmark import: svm, fold 1, seed 0: 1 test clip without a prediction (1-00-0)")


def test_a_choice_that_may_be_left_out_is_not_called_none(folder, capsys):
    for option, choices in (("--metric", ("accuracy", "uar")), ("--at-least", ("better", "equal", "undecided"))):
        assert run("compare", folder / "runs", option, "f1") == 2
        printed = capsys.readouterr().err
        assert f"invalid choice 'f1' for argument '{option}'. Expected one of {choices};" in printed
    assert run("compare", folder / "runs", "--metric", "uar") == 0


def test_aggregate_writes_json(folder):
    assert run("aggregate", folder / "runs", "--json", folder / "a.json") == 0
    assert json.loads((folder / "a.json").read_text(encoding="utf-8"))["variants"][0]["variant"] == "net"


def test_aggregate_takes_one_folder_and_names_compare_for_several(folder, capsys):
    assert run("aggregate", "a", "b c") == 2
    assert capsys.readouterr().err == "earmark aggregate: takes one folder of runs; for 2: earmark compare a 'b c'\n"
    assert run("aggregate") == 2
    assert capsys.readouterr().err == "earmark aggregate: no folder of runs; give one, such as runs/esc10\n"


def test_aggregate_says_where_to_write_if_the_runs_are_read_only(folder, monkeypatch, capsys):
    runs = folder / "runs" / "toy"
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != runs)
    assert run("aggregate", runs) == 2
    assert "toy: is not writable; give -o FOLDER" in capsys.readouterr().err
    assert run("aggregate", runs, "-o", folder / "tables") == 0


def test_embed_takes_a_network_by_name(tones, tmp_path, monkeypatch, capsys):
    class Embedder:
        def embed(self, path: Path) -> np.ndarray:
            return np.array([float(path.stem[1:]), 1.0], dtype=np.float32)

    monkeypatch.setattr("earmark.deploy.embed.load_embedder", lambda *_: Embedder())
    assert run("embed", "mn04", tones / "high", "-o", tmp_path / "v.npz") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'v.npz'}: 12 vectors of 2 values\n"
    vectors = read_vectors(f"npz:{tmp_path / 'v.npz'}", ["h03", "h01"])
    assert vectors.tolist() == [[3.0, 1.0], [1.0, 1.0]]


def test_embed_takes_an_onnx_file_of_another_tool(tones, tmp_path, capsys):
    file = write_onnx(tmp_path / "bands.onnx", rate=None)
    assert run("embed", f"onnx:{file}", tones / "high", "-o", tmp_path / "v.npz") == 2
    assert "sample_rate = 0: the metadata" in capsys.readouterr().err
    assert run("embed", f"onnx:{file}", tones / "high", "--sample-rate", 8000, "-o", tmp_path / "v.npz") == 0
    assert read_vectors(f"npz:{tmp_path / 'v.npz'}", ["h03", "h01"]).shape == (2, 20)


@pytest.mark.parametrize(
    ("name", "reason"), [("mn40x", "did you mean"), ("resnet50", "no published weights for audio")]
)
def test_embed_refuses_a_network_without_audio_weights(name, reason):
    with pytest.raises(DeployError, match=reason):
        load_embedder(name)
