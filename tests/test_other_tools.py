"""Classifiers of other tools on the same clips as a trained suite: imported, compared, reported, refused."""

import csv
import json

import numpy as np
import pytest
import soundfile

import earmark
from backbones import write_hf
from commands import run
from earmark.config.sections import Options
from earmark.datasets.manifest import class_names, write_manifest
from earmark.models.backbone import load_backbone
from earmark.runs.plan import plan_suite
from earmark.runs.waveform_embeddings import embed_file
from earmark.runtime.errors import EarmarkError

pytestmark = pytest.mark.slow  # librosa and transformers take long to import


def mfcc(clips) -> np.ndarray:
    """Mean and standard deviation of 13 MFCCs of each clip, by librosa."""
    librosa = pytest.importorskip("librosa")
    features = []
    for clip in clips:
        waveform, rate = soundfile.read(clip.path)
        coefficients = librosa.feature.mfcc(y=waveform, sr=rate, n_mfcc=13, n_fft=512, n_mels=32)
        features.append(np.r_[coefficients.mean(axis=1), coefficients.std(axis=1)])
    return np.array(features)


def hidden_states(clips, folder) -> np.ndarray:
    """Embeddings by a random wav2vec 2.0."""
    pytest.importorskip("transformers")
    backbone = load_backbone(f"transformers:{write_hf(folder, 'wav2vec2')}")
    return np.stack([embed_file(backbone, clip.path) for clip in clips])


def probabilities(features, clips, splits) -> np.ndarray:
    """(N, K) of a logistic regression, each clip predicted by the fold that tests it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    row_of = {clip.clip_id: row for row, clip in enumerate(clips)}
    labels, probs = np.array([clip.label for clip in clips]), np.zeros((len(clips), len(class_names(clips))))
    for split in splits:
        train, test = ([row_of[i] for i in ids] for ids in (split.train, split.test))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probs[test] = model.fit(features[train], labels[train]).predict_proba(features[test])
    return probs


def write_table(path, clips, fold_of, probs=None, predicted=()):
    names = class_names(clips)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["prediction"] if probs is None else [f"prob:{name}" for name in names]
        writer.writerow(["clip_id", "fold", *columns])
        cells = [[name] for name in predicted] if probs is None else probs.tolist()
        writer.writerows([clip.clip_id, fold_of[clip.clip_id], *row] for clip, row in zip(clips, cells, strict=True))
    return path


@pytest.fixture
def trained(small_suite, tmp_path):
    """A trained suite; its clips, sorted as in its manifest, and its splits."""
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    assert earmark.run_suite(small_suite, options) == {}
    plan = plan_suite(small_suite, options)
    clips = plan.data_of(plan.runs[0]).clips
    write_manifest(clips, tmp_path / "clips.csv")
    return clips, {run.config.fold: run.split for run in plan.runs}


def test_three_classifiers_of_other_tools_are_judged_beside_a_trained_suite(trained, tmp_path):
    clips, splits = trained
    fold_of = {clip_id: fold for fold, split in splits.items() for clip_id in split.test}
    by_mfcc = probabilities(mfcc(clips), clips, splits.values())
    by_hidden = probabilities(hidden_states(clips, tmp_path / "hf"), clips, splits.values())
    guesses = [class_names(clips)[k] for k in by_mfcc.argmax(axis=1)]
    tables = {
        "mfcc": write_table(tmp_path / "mfcc.csv", clips, fold_of, by_mfcc),
        "wav2vec2": write_table(tmp_path / "wav2vec2.csv", clips, fold_of, by_hidden),
        "labels": write_table(tmp_path / "labels.csv", clips, fold_of, predicted=guesses),
    }
    mine, theirs = tmp_path / "mine", tmp_path / "runs" / "tones"
    given = ["--clips", tmp_path / "clips.csv", "--selected-on", "none", "-o", mine]
    assert run("import", *tables.values(), *given) == 0

    assert run("compare", mine, theirs, "--json", tmp_path / "verdict.json") == 0
    verdict = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    scores = {v["variant"]: v["metrics"]["accuracy"]["value"] for v in verdict["variants"]}
    assert set(scores) == {"plain", "dropped", *tables}
    assert scores["mfcc"] == scores["labels"] > 0.9, "tones of three octaves"
    assert len([c for c in verdict["comparisons"] if c["metric"] == "accuracy"]) == 10, "every two"
    assert run("report", mine, theirs, "-o", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in tables)

    lines = tables["mfcc"].read_text(encoding="utf-8").splitlines()
    refused = {
        "1 test clip without a prediction": [lines[0], *lines[2:]],
        "has more than one row for": [*lines, lines[1]],
        "is not a class; did you mean 'low'": [lines[0].replace("prob:low", "prob:lows"), *lines[1:]],
    }
    for message, text in refused.items():
        tables["mfcc"].write_text("\n".join(text), encoding="utf-8")
        with pytest.raises(EarmarkError, match=message):
            earmark.import_predictions(tables["mfcc"], tmp_path / "clips.csv", tmp_path / "no", variant="mfcc")
    assert not (tmp_path / "no").exists()
