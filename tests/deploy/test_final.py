"""A suite of real trainings as the model that is shipped: on all clips, with an unknown score, exported."""

import itertools
from dataclasses import replace

import numpy as np
import onnx
import pytest
import soundfile

from earmark.analysis.records import read_runs
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.rows import ManifestError
from earmark.deploy import finalize as module
from earmark.deploy.choices import Choices, check_shippable
from earmark.deploy.export import build_graphs, write_onnx
from earmark.deploy.finalize import finalize
from earmark.deploy.held_out import choose_folds, clip_scores, measure_unknown
from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.deploy.provenance import describe_provenance
from earmark.deploy.synthetic_sounds import synthetic_sounds
from earmark.deploy.torch_engine import load_networks
from earmark.deploy.unknown import usual_distances
from earmark.deploy.verify import check_agreement, some_clips
from earmark.report.page import write_report
from earmark.runs.final import load_suite_data, split_for_use, split_without, train_for_use
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite
from earmark.runtime.console import Progress
from earmark.training.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def suite(tones, tmp_path_factory):
    """Two folds of a baseline CNN that selects its epoch; the options that find its images."""
    folder = tmp_path_factory.mktemp("suite")
    content = {
        "name": "tones",
        "seeds": [1],
        "data": {"dataset": "folder", "root": str(tones)},
        "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
        "split": {"kind": "group_kfold", "n_folds": 2, "val_ratio": 0.2},
        "augment": {"freq_mask_bins": 4},
        "train": {"epochs": 4, "batch_size": 4, "window_seconds": 0.3},
    }
    options = Options(runs=folder / "runs", work=folder / "work", device="cpu", threads=1)
    assert run_suite(plan_suite(merge(SuiteConfig(), content), options), options) == {}
    return folder / "runs", options


@pytest.fixture(scope="module")
def final(suite, tmp_path_factory):
    runs, options = suite
    folder = tmp_path_factory.mktemp("final") / "model"
    choices = Choices(on_all_clips=True, n_seeds=2, false_alarms=0.2, options=options)
    return folder, finalize(runs, folder, choices=choices)


def test_final_networks_are_trained_on_all_clips_but_those_that_select_the_epoch(suite, final):
    runs, options = suite
    (record, *_) = records = read_runs(runs)
    data = load_suite_data(records, options)
    split = split_for_use(data, record)
    assert len(split.train) + len(split.valid) == 36 and not split.test
    assert len(split.valid) == pytest.approx(36 * 7 / 18, abs=2), "as many as the suite holds out of its training clips"
    repeated = replace(record, config=merge(record.config, {"split": {"repeats": 2}}))
    assert split_for_use(data, repeated) == split
    selects_nothing = replace(record, result=record.result | {"selected_on": "none"})
    assert len(split_for_use(data, selects_nothing).train) == 36
    folder, done = final
    assert done.members == ("all-clips-seed1.safetensors", "all-clips-seed2.safetensors")
    networks = [load_checkpoint(folder / name) for name in done.members]
    best = [max(m.history, key=lambda e: (e["valid_uar"], -e["valid_loss"]))["epoch"] for _, m in networks]
    assert [metadata.epoch for _, metadata in networks] == best
    assert {path.name for path in folder.iterdir()} == {
        *done.members, "README.md", "model.json", "references.safetensors"
    }  # fmt: skip


def test_folds_that_chose_other_augmentations_share_their_images(suite, tones, tmp_path):
    """The images of the first fold stood for all, so that the other folds seemed to have other recordings."""
    _, options = suite
    options = replace(options, runs=tmp_path)
    noise = {"hiss": {"function": "add_noise", "snr_db": 10.0}}
    chosen = {1: {"waveform": []}, 2: {"waveform": ["noisy", "hiss"], "waveform_definitions": noise}}
    for fold, augment in chosen.items():
        content = {
            "name": f"fold{fold}",
            "folds": [fold],
            "data": {"dataset": "folder", "root": str(tones)},
            "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
            "split": {"kind": "group_kfold", "n_folds": 2},
            "augment": augment,
            "train": {"epochs": 1, "batch_size": 4},
        }
        assert run_suite(plan_suite(merge(SuiteConfig(), content), options), options) == {}
    records = [*read_runs(tmp_path / "fold1"), *read_runs(tmp_path / "fold2")]
    data = load_suite_data(records, options)
    names = {name for _, name in data.images.index}
    assert names == {"orig", "noisy", "hiss"}
    without = split_without(data, records[1], data.data.class_names[0])
    assert train_for_use(records[1].config, data, without, tmp_path / "held-out", options, lambda _: None).is_file()
    other = merge(records[0].config, {"augment": {"waveform": ["hiss"], "waveform_definitions": {"hiss": {"x": 1}}}})
    with pytest.raises(ConfigError, match=r"the folds define 'hiss' differently; search names in augment\.waveform"):
        load_suite_data([replace(records[0], config=other), records[1]], options)


def test_windows_of_different_length_are_named_with_both_remedies(suite, tmp_path, monkeypatch):
    runs, _ = suite
    info_of, widths = module._info_of, itertools.cycle([30, 34])
    monkeypatch.setattr(module, "_info_of", lambda path: replace(info_of(path), window_frames=next(widths)))
    message = r"windows of 30 to 34 frames, .* give --on-all-clips, or .* --train\.window_seconds 0\.26$"
    with pytest.raises(DeployError, match=message):
        finalize(runs, tmp_path / "model", choices=Choices(unknown=False))


def test_what_sounds_the_same_is_on_one_side_of_the_split_that_selects_the_epoch(suite, monkeypatch):
    runs, options = suite
    records = read_runs(runs)
    data = load_suite_data(records, options)
    split = split_for_use(data, records[0])
    pairs = itertools.product(split.train, split.valid)
    together = [{i: s for s, ids in one.subsets().items() for i in ids} for one in data.splits.values()]
    pair = next(p for p in pairs if all(subset[p[0]] == subset[p[1]] for subset in together))  # an honest suite
    monkeypatch.setattr("earmark.runs.final.known_copies", lambda *_: [pair])
    audited = split_for_use(load_suite_data(records, options), records[0])
    assert any(set(pair) <= set(ids) for ids in (audited.train, audited.valid))
    assert len(audited.valid) == pytest.approx(len(split.valid), abs=2)

    trained, selecting = pair
    clips = tuple(replace(c, clip_id=c.clip_id.replace(selecting, f"{trained}_soft")) for c in data.data.clips)
    renamed = replace(data, data=replace(data.data, clips=clips))
    augment = {"augment": {"waveform_definitions": {"soft": {"function": "noise", "snr_db": 3}}}}
    found = split_for_use(renamed, replace(records[0], config=merge(records[0].config, augment)))
    assert any({trained, f"{trained}_soft"} <= set(ids) for ids in (found.train, found.valid))


def test_expected_score_is_that_of_the_suite(suite, final):
    records = read_runs(suite[0])
    right = np.concatenate([record.predictions == record.targets for record in records])
    score = final[1].info.expected_score
    assert (score.value, score.n_clips) == (pytest.approx(right.mean()), 36)
    assert "2 folds, 1 seed" in score.sentence()


def test_settings_of_each_fold_are_no_recipe_for_all_clips(suite, final):
    about = {"tuned": {"mode": "nested", "settings": ["train.epochs", "train.lr"]}}
    records = [
        replace(record, config=merge(record.config, about | {"train": {"epochs": 20 * (i + 1), "lr": 0.002}}))
        for i, record in enumerate(read_runs(suite[0]))
    ]
    with pytest.raises(DeployError, match=r"each fold has settings of its own \(train\.epochs\), .*mode = 'once'"):
        check_shippable(records, Choices(on_all_clips=True))
    training = describe_provenance(records).training
    assert "20 or 40 epochs" in training and "rate 0.002; train.epochs chosen in each fold" in training
    check_shippable(records[:1] * 2, Choices(on_all_clips=True, unknown=False))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("mn04", r"train a variant with model\.train = 'head' and .*"),
        ("onnx:birdnet.onnx", "choose one that trains a .*"),
    ],
)
def test_a_probe_is_no_network_and_a_trained_head_is(suite, name, remedy):
    record = read_runs(suite[0])[0]
    probe = replace(record, config=merge(record.config, {"probe": {"kind": "logistic"}, "model": {"name": name}}))
    with pytest.raises(DeployError, match=f"a logistic probe has no network to ship; {remedy}$"):
        check_shippable([probe], Choices())


def test_an_interrupted_command_resumes(suite, final, tmp_path, monkeypatch):
    runs, options = suite
    choices = Choices(on_all_clips=True, options=options, unknown=False)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            finalize(runs, tmp_path / "model", choices=choices)
    with monkeypatch.context() as patch:
        patch.setattr("earmark.training.loop.train_epoch", stop)  # nothing is left to train
        finalize(runs, tmp_path / "model", choices=choices)
    weights, again = (load_checkpoint(f / "all-clips-seed1.safetensors")[0] for f in (final[0], tmp_path / "model"))
    for ours, theirs in zip(weights.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    assert load(tmp_path / "model").predict(np.zeros(2400, np.float32), 8000).unknown_score is None


def test_threshold_has_the_stated_rate_on_clips_that_were_held_out(suite, tmp_path):
    runs, options = suite
    done = finalize(runs, tmp_path / "model", choices=Choices(false_alarms=0.2, options=options))
    gate = done.info.unknown
    assert (gate.false_alarms, gate.n_clips) == (0.2, 36)
    records = read_runs(runs)
    data = load_suite_data(records, options)
    distances = []  # of the held-out clips to each class, by the network of their fold
    for record in records:
        train, test = (module.subset_of(data, ids) for ids in (data.splits[record.config.fold].train, record.clip_ids))
        path = next(record.folder.glob("best.safetensors"))
        unit = [clip_scores(path, s).embeddings for s in (train, test)]
        unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in unit]
        cosines = unit[1] @ unit[0].T
        distances.append(1 - np.stack([cosines[:, train.targets == k].max(axis=1) for k in range(3)], axis=1))
    swapped = zip(distances, distances[::-1], strict=True)
    scores = [(part / usual_distances(other)).min(axis=1) for part, other in swapped]
    assert (np.concatenate(scores) > gate.threshold + 1e-3).sum() <= 0.2 * 36
    np.testing.assert_allclose(sorted(np.concatenate(scores), reverse=True), gate.held_out, atol=0.02)
    answer = load(tmp_path / "model").predict(np.random.default_rng(0).normal(size=2400).astype(np.float32) * 0.1, 8000)
    assert answer.unknown == (answer.unknown_score > gate.threshold)


def test_exported_model_has_the_labels_and_unknown_scores_of_pytorch(final, tones, tmp_path):
    folder, _ = final
    model, loaded = load(folder), load_networks(folder)
    clips = some_clips(tones, loaded.info)
    exported = build_graphs(loaded)
    agreement = check_agreement(exported, loaded, clips)
    assert agreement.n_clips == 36 and agreement.largest_difference < 1e-4
    paths = [*write_onnx(exported, tmp_path / "m.onnx"), write_onnx(exported, tmp_path / "m.onnx", split=True)[1]]
    expected = [model.predict(clip, 8000) for clip in clips]
    assert len({answer.label for answer in expected}) > 1
    for path in paths:
        answers = [load(path).predict(clip, 8000) for clip in clips]
        assert [a.label for a in answers] == [a.label for a in expected]
        np.testing.assert_allclose([a.unknown_score for a in answers], [a.unknown_score for a in expected], atol=1e-3)
        assert load(path).info.unknown == model.info.unknown


def test_rate_of_false_alarms_can_be_set_for_an_existing_model(final, tmp_path):
    folder, done = final
    model = load(write_onnx(build_graphs(load_networks(folder)), tmp_path / "m.onnx")[0])
    gate = done.info.unknown
    strict, loose = model.at_false_alarms(0.4), model.at_false_alarms(0.05)
    assert strict.info.unknown.threshold < gate.threshold < loose.info.unknown.threshold
    assert sum(score > strict.info.unknown.threshold for score in gate.held_out) == 14, "of 36 clips"
    noise = np.random.default_rng(0).normal(size=2400).astype(np.float32) * 0.1
    answers = [m.predict(noise, 8000) for m in (strict, loose)]
    assert [a.unknown for a in answers] == [
        a.unknown_score > m.info.unknown.threshold for a, m in zip(answers, (strict, loose), strict=True)
    ]
    assert model.info.unknown == gate, "the model itself stays as it is"


def test_card_and_report_show_what_the_model_says_of_synthetic_sounds(suite, final):
    folder, done = final
    assert {row.sound for row in done.synthetic_sounds} >= {"white noise", "hum of 50 Hz"}
    model, rows = load(folder), {row.sound: row for row in done.synthetic_sounds}
    for name, sound in synthetic_sounds(8000, model.info.window_samples).items():
        answer = model.predict(sound, 8000)
        assert (answer.label, answer.unknown) == (rows[name].label, rows[name].unknown)
        assert answer.unknown_score == pytest.approx(rows[name].unknown_score, abs=1e-6)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| white noise | {rows['white noise'].label} |" in card
    write_report(read_runs(suite[0]), folder.parent / "report.html", model=folder)
    page = (folder.parent / "report.html").read_text(encoding="utf-8")
    assert "white noise" in page and "The model and unknown sounds" in page


def test_a_graph_that_disagrees_with_pytorch_is_refused(final):
    loaded = load_networks(final[0])
    exported = build_graphs(loaded)
    tensor = max(exported.network.graph.initializer, key=lambda t: len(t.raw_data))
    values = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(DeployError, match=r"differs from PyTorch: .* so nothing was written"):
        check_agreement(exported, loaded)


def test_classes_are_held_out_in_turn(suite, tmp_path):
    runs, options = suite
    choices = Choices(unknown=False, measure_unknown=True, options=options)
    done = finalize(runs, tmp_path / "model", choices=choices)
    assert [row.label for row in done.unknown_table] == ["<script>", "high", "low", "mean"]
    assert all(0 <= value <= 1 for row in done.unknown_table for value in row.auroc.values())
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "| high | 6 |" in card and "none of the classes | no score" in card
    assert not (tmp_path / "model" / ".earmark-training").exists()


def keep_classes(record, *kept):
    """The run as if it had tested clips of these classes only."""
    rows = np.isin(record.targets, [record.class_names.index(label) for label in kept])
    ids = tuple(np.array(record.clip_ids)[rows])
    return replace(record, clip_ids=ids, targets=record.targets[rows], predictions=record.predictions[rows])


def test_a_class_is_held_out_of_a_fold_that_tests_it_or_left_out(suite, tmp_path, capsys):
    runs, options = suite
    records = read_runs(runs)
    first, second = keep_classes(records[0], "high", "low"), keep_classes(records[1], "low")
    assert choose_folds([first, records[1]]) == {"<script>": records[1], "high": records[1], "low": first}
    assert choose_folds([first, second]) == {"high": first, "low": first}, "the second has low alone"
    data, progress = load_suite_data(records, options), Progress()
    rows = measure_unknown([first, second], data, tmp_path, 0.2, options, progress)
    assert [row.label for row in rows] == ["high", "low", "mean"]
    assert all(np.isfinite([*row.auroc.values(), row.detected, row.false_alarms, row.confident]).all() for row in rows)
    assert "not measured: <script> (no fold tests" in capsys.readouterr().err
    with pytest.raises(DeployError, match="measure-unknown: 0 classes can be measured"):
        measure_unknown([second], data, tmp_path, 0.2, options, progress)


def test_recordings_that_are_elsewhere_now_are_asked_for_by_the_option_of_the_command(suite, tones):
    runs, options = suite
    records = read_runs(runs)
    moved = [replace(r, config=replace(r.config, data=replace(r.config.data, root="rec"))) for r in records]
    missing = r"^data\.root = 'rec': not found at .*; give --root PATH, where the recordings of these runs are now$"
    with pytest.raises(ManifestError, match=missing):
        load_suite_data(moved, options)
    assert load_suite_data(moved, options, str(tones)).data.clips


def test_other_recordings_are_refused(suite, tones, tmp_path):
    runs, options = suite
    for path in sorted(tones.rglob("*.wav")):
        other = tmp_path / "other" / path.relative_to(tones)
        other.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(other, soundfile.read(path)[0][::-1], 8000)
    choices = Choices(root=str(tmp_path / "other"), options=replace(options, work=tmp_path / "work"))
    with pytest.raises(ConfigError, match="holds other recordings than those of"):
        finalize(runs, tmp_path / "model", choices=choices)
    assert not (tmp_path / "model").exists()
