"""Settings: what is refused and how, what decides a run's id, what makes budgets unequal."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from earmark.config.budget import unequal_budgets
from earmark.config.sections import ConfigError, DataConfig, SplitConfig
from earmark.config.suite import (
    VERSION_1_SETTINGS,
    RunConfig,
    SuiteConfig,
    deciding_settings,
    merge,
    read_suite,
    run_from_dict,
    run_id,
    to_dict,
)
from earmark.config.training import TrainConfig, steps_per_epoch

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_committed_configs_can_be_read(path):
    suite = read_suite(path)
    assert suite.name == path.stem
    assert suite.runs([1, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nepoch = 3", r"train.epoch = 3: no such setting; did you mean 'epochs'\?"),
        ("[train]\nepochs = 0", "train.epochs = 0: give 1 to 100000"),
        ("[train]\nepochs = 1.5", "train.epochs = 1.5: give a whole number"),
        ('[train]\nbatch_size = "16"', "train.batch_size = '16': give a whole number, without quotes$"),
        ('[train]\ncompile = "true"', "train.compile = 'true': give true or false, without quotes$"),
        ('[train]\nbatch_size = "many"', "train.batch_size = 'many': give a whole number$"),
        ("name = 3", "name = 3: give text in quotes$"),
        ("[trian]\nepochs = 4", r": \[trian\]: no such setting; did you mean 'train'\?$"),
        ("[variants.se.trian]\nepochs = 4", r": \[variants\.se\.trian\]: no such setting; did you mean 'train'\?$"),
        ("[train]\nepochs = true", "train.epochs = True: give a whole number"),
        ("[train]\ncompile = 1", "train.compile = 1: give true or false"),
        (
            "[train]\nschedule = 'one-cycle'",
            r"train.schedule = 'one-cycle': no such choice; did you mean 'one_cycle'\?",
        ),
        ("seeds = 42", "seeds = 42: give a list"),
        ("seeds = []", "seeds = .*give at least one"),
        ("seeds = [1, 1]", "seeds = .*give each seed once"),
        ("folds = [2, 1, 2]", "folds = .*give each fold once"),
        ("seeds = ['a']", r"seeds\[0\] = 'a': give a whole number"),
        ("train = 3", r"train = 3: give a table \[train\]"),
        ("name = 'a/b'", "name = 'a/b': use letters"),
        ("name = '..'", r"name = '\.\.': use letters"),
        ("[variants.se]\nmodel.attentoin = 'se'", r"variants.se.model.attentoin = 'se': .* did you mean 'attention'\?"),
        ("[variants.long]\ntrain.epochs = 0", "train.epochs = 0: give 1 to 100000"),
        ("[variants]\nse = 'se'", "variants.se = 'se': give a table"),
        ("[variants.big]\nname = 'resnet50'", "variants.big.name = 'resnet50': a variant changes sections"),
        ("[variants.b]\nseed = 7", "variants.b.seed = 7: a variant changes sections"),
        ("[variants.denoised]\ndata.root = 'x'", "variants.denoised.data = .*: variants are compared on the same"),
        ("[variants.mine]\nsplit.path = 'x'", "variants.mine.split.path = 'x': variants are compared on the same"),
        ("[front_end]\nf_min = 200.0\nf_max = 100.0", "front_end.f_max = 100.0: give more than f_min"),
        ("[front_end]\nsample_rate = 8000\nf_max = 5000.0", "front_end.f_max = 5000.0: give at most half"),
        ("[split]\nval_ratio = 0.1\nvalid_fold = true", "split.val_ratio = 0.1: .* one of them"),
        ("[split]\nrepeats = 0", "split.repeats = 0: give 1 to 1000"),
        ("[split]\nkind = 'folds'\nrepeats = 2", "split.repeats = 2: give 1: 'folds' has one partition only"),
        ("metric = 'f1'", "metric = 'f1': no such choice"),
        ("[augment]\nwaveform = ['orig', 'noisy']", r"augment.waveform = .*: name each .* once, without orig"),
        ("[augment]\nwaveform = ['noisy', 'noisy']", r"augment.waveform = .*: name each augmentation once"),
        ("baseline = 'none'\n[variants.se]", "baseline = 'none': give a variant: se"),
        ("[model]\ntrain = 'head'", "model.train = 'head': give 'all', or pretrained model.weights"),
        ("name = ", "not valid TOML"),
    ],
)
def test_bad_settings_are_refused_by_name_value_and_remedy(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_suite(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_what_windows_editors_write_is_read_or_refused_with_a_remedy(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes('name = "own"'.encode("utf-8-sig"))
    assert read_suite(path).name == "own"
    path.write_bytes('name = "own"'.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"a\.toml: not text in UTF-8; save it as UTF-8$"):
        read_suite(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        read_suite(tmp_path / "nowhere.toml")


def test_variants_change_what_they_name_and_nothing_else(tmp_path):
    suite = read_suite(write(tmp_path, "seeds = [1, 2]\n[variants.none]\n[variants.se]\nmodel.attention = 'se'"))
    runs = suite.runs([1, 2, 3])
    assert len(runs) == 2 * 3 * 2
    assert {run.model.attention for run in runs if run.variant == "se"} == {"se"}
    assert {run.model.attention for run in runs if run.variant == "none"} == {"none"}
    assert runs[0].fold == runs[3].fold == 1, "folds are outermost: every variant has a first result early"


def test_only_reduces_a_suite_to_one_run(tmp_path):
    suite = read_suite(write(tmp_path, "seeds = [1, 2]\n[variants.none]\n[variants.se]\nmodel.attention = 'se'"))
    (run,) = suite.only("se", fold=2, seed=7).runs([1, 2, 3])
    assert (run.variant, run.fold, run.seed, run.model.attention) == ("se", 2, 7, "se")
    (first,) = suite.only().runs([1, 2, 3])
    assert (first.variant, first.fold, first.seed) == ("none", 1, 1)
    with pytest.raises(ConfigError, match="variant = 'sse': no such variant; did you mean 'se'"):
        suite.only("sse")


def test_a_run_survives_json():
    run = merge(RunConfig(), {"model": {"attention": "se"}, "augment": {"waveform": ["noisy"]}})
    assert run_from_dict(to_dict(run)) == run


def test_run_id_depends_on_what_decides_the_result():
    run = RunConfig()
    same = [
        dataclasses.replace(run, data=DataConfig(root="elsewhere", images="there", memory_gib=1.0)),
        dataclasses.replace(run, name="other", variant="other"),
        dataclasses.replace(run, split=SplitConfig(repeats=4)),  # the number of the fold says which partition it is of
    ]
    other = [
        dataclasses.replace(run, seed=1),
        dataclasses.replace(run, fold=2),
        dataclasses.replace(run, train=TrainConfig(epochs=3)),
        dataclasses.replace(run, data=DataConfig(dataset="emodb")),
    ]
    assert {run_id(r, "data") for r in [run, *same]} == {run_id(run, "data")}
    assert len({run_id(r, "data") for r in [run, *other]} | {run_id(run, "other data")}) == 6


def test_run_ids_of_the_first_version_stay():
    """The ids of finished runs: if this test fails, every finished run would be trained again."""
    changes = {
        "seed": 7,
        "fold": 3,
        "data": {"dataset": "emodb", "root": "x"},
        "front_end": {"sample_rate": 16000},
        "split": {"kind": "folds", "valid_fold": True},
        "model": {"name": "resnet50", "attention": "se", "weights": "imagenet"},
        "augment": {"waveform": ["noisy"], "waveform_definitions": {"n": {"function": "noise", "snr_db": 3}}},
        "train": {"epochs": 3, "lr": 1e-3},
    }
    assert run_id(RunConfig(), "data") == "916af99ded"
    assert run_id(merge(RunConfig(), changes), "data") == "dc15536664"
    names = set(deciding_settings(RunConfig()))
    assert names >= VERSION_1_SETTINGS, "settings of the first version can neither be removed nor renamed"


@dataclass(frozen=True)
class LaterTrainConfig(TrainConfig):
    """`[train]` of a later version with one setting more."""

    later: float = 0.0


@dataclass(frozen=True)
class SearchConfig:
    """A section of a later version."""

    n_trials: int = 0


@dataclass(frozen=True)
class LaterRunConfig(RunConfig):
    """A run of a later version with one section more."""

    search: SearchConfig = field(default_factory=SearchConfig)


def test_a_new_optional_setting_keeps_old_ids():
    run = RunConfig()
    later = dataclasses.replace(run, train=LaterTrainConfig())
    assert run_id(later, "data") == run_id(run, "data")
    assert run_id(LaterRunConfig(), "data") == run_id(run, "data")
    changed = dataclasses.replace(run, train=LaterTrainConfig(later=0.99))
    searched = LaterRunConfig(search=SearchConfig(n_trials=3))
    assert len({run_id(r, "data") for r in (run, changed, searched)}) == 3


def test_a_new_optional_setting_counts_in_the_budget():
    run = RunConfig()
    runs = [dataclasses.replace(run, train=LaterTrainConfig(later=value)) for value in (0.0, 0.99)]
    assert unequal_budgets(runs) == ["train.later"]


def test_unequal_budgets_are_named_but_learning_rates_are_free():
    suite = SuiteConfig(variants={"a": {"train": {"lr": 1e-3}}, "b": {"model": {"name": "alexnet"}}})
    assert unequal_budgets(suite.runs([1])) == []
    suite = SuiteConfig(variants={"a": {"train": {"epochs": 3}}, "b": {"augment": {"mixup_alpha": 0.0}}})
    assert unequal_budgets(suite.runs([1])) == ["augment.mixup_alpha", "train.epochs"]


def test_a_point_of_a_learning_curve_has_the_steps_of_a_training_with_the_chosen_epochs():
    choices = {"1": {"train": {"epochs": 20}}, "2": {"train": {"lr": 0.001}}}
    about = {"mode": "nested", "search": "ab", "settings": ["train.epochs", "train.lr"], "choices": choices}
    suite = merge(SuiteConfig(), {"train_fractions": [0.5], "variants": {"a": {"tuned": about}}})
    assert [suite.run("a", fold, 42).train.epochs for fold in (1, 2)] == [20, 50]
    points = [suite.run("a-train0.5", fold, 42) for fold in (1, 2)]
    assert [point.train.for_part(32, 64).epochs for point in points] == [40, 100]


@pytest.mark.parametrize(("n_kept", "n_clips"), [(63, 127), (20, 500), (500, 1000), (33, 64), (96, 100)])
def test_a_part_of_the_clips_is_trained_for_at_least_the_same_steps(n_kept, n_clips):
    """Incomplete batches are left out, so that twice the epochs may be fewer steps."""
    whole = TrainConfig(epochs=50, batch_size=32, warmup_epochs=2.0, patience=5, keep_steps=True)
    part = whole.for_part(n_kept, n_clips)
    of_all, of_part = (steps_per_epoch(n, whole.batch_size) for n in (n_clips, n_kept))
    assert 0 <= part.epochs * of_part - whole.epochs * of_all < of_part
    assert part.warmup_epochs * of_part == pytest.approx(whole.warmup_epochs * of_all)
    assert 0 <= part.patience * of_part - whole.patience * of_all < of_part
    assert TrainConfig().for_part(n_kept, n_clips) == TrainConfig()


@pytest.mark.parametrize("variant", ["a", "front_end"])
def test_a_value_out_of_bounds_in_a_variant_names_its_section_once(tmp_path, variant):
    with pytest.raises(ConfigError, match=rf": variants\.{variant}\.front_end\.n_mels = 4096: give"):
        read_suite(write(tmp_path, f"[variants.{variant}]\nfront_end.n_mels = 4096"))


@pytest.mark.parametrize(
    "text",
    [
        "[variants.a]\n[variants.b]",
        "[variants.a]\nmodel.attention = 'none'\n[variants.se]\nmodel.attention = 'se'\n[variants.b]",
    ],
)
def test_two_variants_with_the_same_settings_are_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="variants a and b have the same settings; change one or leave it out"):
        read_suite(write(tmp_path, text))


def test_two_tuned_variants_may_have_chosen_the_same(tmp_path):
    tuned = "tuned = { mode = 'once', search = 'x', settings = ['train.lr'] }"
    read_suite(write(tmp_path, f"train_fractions = [0.5]\n[variants.a]\n{tuned}\n[variants.b]\n{tuned}"))


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"a": {"train": 3}}, r"variants\.a\.train = 3: give a table"),
        ({"a": {"split": 3}}, r"variants\.a\.split = 3: give a table"),
        ({"a": {"train": {"epochs": "x"}}}, r"variants\.a\.train\.epochs = 'x': give a whole number"),
        ({"a": {}, "b": {"train": 3}}, r"variants\.b\.train = 3: give a table"),
        ({"a": {}, "a-train0.5": {}}, r"train_fractions = \[0\.5\]: two variants or points have one name"),
    ],
)
def test_a_bad_variant_is_refused_beside_a_learning_curve(variants, message):
    with pytest.raises(ConfigError, match=message):
        merge(SuiteConfig(), {"train_fractions": [0.5], "variants": variants})


@pytest.mark.parametrize(
    ("dataset", "root", "title"),
    [
        ("esc10", "data/ESC-50", "esc10"),
        ("manifest", "data/clips.csv", "clips.csv"),
        ("folder", "birds/", "birds"),
        ("folder", "", "folder"),
    ],
)
def test_tables_call_recordings_of_ones_own_by_their_folder_or_file(dataset, root, title):
    assert DataConfig(dataset=dataset, root=root).title == title
