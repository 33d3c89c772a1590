"""The public API: `import earmark` costs nothing, and its functions cover the pipeline."""

import subprocess
import sys
from dataclasses import replace

import pytest

import earmark
from earmark.config.sections import Options
from earmark.datasets.manifest import write_manifest
from earmark.datasets.read import read_dataset
from earmark.runtime.errors import EarmarkError


def test_importing_earmark_costs_nothing():
    code = "import sys; before = set(sys.modules); import earmark; print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in result.stdout.split()}
    assert not imported & {"numpy", "torch", "scipy", "sklearn", "PIL", "soundfile", "tyro"}
    assert {name for name in result.stdout.split() if name.startswith("earmark")} == {"earmark"}


def test_every_public_name_is_an_annotated_function_that_no_folder_replaces():
    import earmark.audit.audit
    import earmark.deploy.predict

    for name in earmark.__all__:
        function = getattr(earmark, name)
        assert function.__module__ == "earmark", name
        assert "return" in function.__annotations__, name
        assert function.__doc__, name


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert (files("earmark") / "py.typed").is_file()


def test_from_a_suite_to_a_prediction(small_suite, tones, tmp_path):
    suite = replace(small_suite, folds=(1,), variants={"plain": {}})
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", threads=1)
    assert earmark.run_suite(suite, options) == {}
    (variant,) = earmark.aggregate(tmp_path / "runs").variants
    assert (variant.variant, variant.n_runs) == ("plain", 1)

    checkpoint = tmp_path / "runs" / "tones" / "plain-fold1-seed1"
    recording = tones / "high" / "h00.wav"
    (prediction,) = earmark.predict(checkpoint, [recording])
    model = earmark.load(checkpoint)
    label, probability = prediction.best(model.class_names)
    assert model.predict(recording).label == label
    assert model.predict(recording).probability == pytest.approx(probability, abs=1e-5)


def test_an_audit_takes_a_manifest_or_its_clips(small_suite, tmp_path):
    clips = read_dataset(small_suite.data)
    write_manifest(clips, tmp_path / "clips.csv")
    assert earmark.audit_clips(tmp_path / "clips.csv", jobs=1).n_clips == len(clips)
    assert earmark.audit_clips(clips[:8], jobs=1).n_clips == 8


def test_mistakes_are_earmark_errors(tmp_path):
    with pytest.raises(EarmarkError, match="cannot be read"):
        earmark.read_suite(tmp_path / "no.toml")
    with pytest.raises(EarmarkError, match="not found"):
        earmark.load(tmp_path / "no.safetensors")
