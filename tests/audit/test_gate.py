"""The audit as a gate: copies that a saved audit of the same recordings found must not cross subsets."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import soxr

from earmark.cli.main import main
from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.runs.plan import plan_suite
from earmark.splits.split import LeakageError
from sounds import RATE, scene


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Four sounds in two folds, one of them a quieter copy in the other fold."""
    clips = []
    for name, seed, fold in (("a", 0, 1), ("b", 1, 1), ("c", 2, 2), ("copy", 0, 2)):
        soundfile.write(tmp_path / f"{name}.wav", scene(seed) * (0.3 if name == "copy" else 1), RATE)
        clips.append(Clip(name, tmp_path / f"{name}.wav", "x", name, fold, 3.0))
    write_manifest(clips, tmp_path / "clips.csv")
    return tmp_path / "clips.csv"


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments]) or 0
    except SystemExit as end:
        return int(end.code or 0)


def test_a_split_is_refused_until_the_groups_are_united(manifest, capsys):
    folder = manifest.parent
    split = ("split", manifest, "--kind", "folds", "-o", folder / "split")
    assert run(*split) == 0
    audit = ("audit", manifest, "--json", folder / "clips.audit.json", "--unite-copies", folder / "united.csv")
    for _ in range(2):  # what is there of an earlier call is written again
        assert run(*audit, "--jobs", "1") == 1
    assert run(*split) == 2
    assert "same audio 'a = copy' (train, test)" in capsys.readouterr().err
    assert {clip.clip_id: clip.group for clip in read_manifest(folder / "united.csv")}["copy"] == "a"
    united = ("split", folder / "united.csv", "--kind", "group_kfold", "--n-folds", "2")
    assert run(*united, "-o", folder / "united") == 0


def test_united_groups_keep_the_other_columns(manifest):
    lines = manifest.read_text(encoding="utf-8").splitlines()
    header, *rows = [f"{line},{site}" for line, site in zip(lines, ("site", "pier", "", "pier", "hut"), strict=True)]
    manifest.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="\r\n")
    united = manifest.with_name("united.csv")
    run("audit", manifest, "--unite-copies", united, "--jobs", "1")
    changed = manifest.read_text(encoding="utf-8").replace("copy,2,3.000000,hut", "a,2,3.000000,hut")
    assert united.read_text(encoding="utf-8") == changed
    assert run("audit", manifest, "--unite-copies", united, "--jobs", "1") == 1, "the same is written again"
    edited = changed.replace(",x,b,1", ",x,anna,1")
    united.write_text(edited, encoding="utf-8")
    assert run("audit", manifest, "--unite-copies", united, "--jobs", "1") == 2
    assert united.read_text(encoding="utf-8") == edited != changed


@pytest.mark.parametrize("option", ["--json", "--split", "--images", "--unite-copies"])
def test_an_audit_of_runs_alone_refuses_what_is_about_recordings(option, tmp_path, capsys):
    assert run("audit", "--runs", tmp_path, option, tmp_path / "x") == 2
    assert f"earmark audit: {option}: for an audit of recordings; give their manifest" in capsys.readouterr().err


def test_a_suite_is_refused_too(manifest):
    clips = [replace(clip, label="y" if clip.clip_id in "bc" else "x") for clip in read_manifest(manifest)]
    write_manifest(clips, manifest)
    data = {"dataset": "manifest", "root": str(manifest)}
    suite = merge(SuiteConfig(), {"name": "gate", "data": data, "split": {"kind": "folds"}})
    options = Options(work=manifest.parent / "work", runs=manifest.parent / "runs")
    assert len(plan_suite(suite, options).runs) > 0
    run("audit", manifest, "--json", manifest.parent / "clips.audit.json", "--jobs", "1")
    with pytest.raises(LeakageError, match=r"same audio 'a = copy' \(train, test\)"):
        plan_suite(suite, options)


def test_usual_speeds_are_compared_unless_none_or_others_are_asked_for(manifest, capsys):
    fast = soxr.resample(scene(1), RATE, RATE / 1.1)
    soundfile.write(manifest.parent / "fast.wav", fast, RATE)
    clips = [*read_manifest(manifest), Clip("fast", manifest.parent / "fast.wav", "x", "fast", 2, len(fast) / RATE)]
    write_manifest(clips, manifest)
    for given, found in (([], True), (["--speeds"], False), (["--speeds", 0.8], False), (["--speeds", 0.8, 1.1], True)):
        assert run("audit", manifest, "--jobs", 1, *given) == 1, "of a and its copy in another fold"
        assert ("fast = b at speed 1.1 (" in capsys.readouterr().out) == found
    assert run("audit", manifest, "--speeds", 3) == 2
    assert "--speeds 3.0: give 0.5 to 2" in capsys.readouterr().err
    for option in (["--speeds", 0.8], ["--speeds"]):
        assert run("audit", "--runs", manifest.parent, *option) == 2
        assert "--speeds: for an audit of recordings" in capsys.readouterr().err
