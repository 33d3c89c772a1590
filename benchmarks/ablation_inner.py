"""What each option for small data is worth, measured inside the training subset of outer folds of ESC-10.

    python benchmarks/ablation_inner.py --data DATA/ESC-10 --folder OUT

Inner folds over groups of the outer training subset train and report; no clip of the outer test subset is used. The
recipe is the config as it is of `configs/esc10-tuned.toml`. Baseline CNN, which has no blocks for stochastic depth. A
second call resumes. `--outer-folds 1 2 3 4 5 --variants A B` compares two variants with more power.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from run_variants import reduced, run_variants

from earmark.config.sections import SplitConfig
from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.read import read_dataset
from earmark.splits.make import make_split
from earmark.splits.split import Split

SUITE = {
    "name": "ablation-inner",
    "baseline": "recipe",
    "data": {"dataset": "esc10"},
    "front_end": {"hop_length": 1024, "n_mels": 64},
    "split": {"kind": "folds"},
    "augment": {"freq_mask_bins": 8},
    "train": {"epochs": 40, "batch_size": 16},
    "variants": {
        "recipe": {},
        "ema": {"train": {"ema_decay": 0.99}},
        "freq_mixstyle": {"augment": {"freq_mixstyle_alpha": 0.4}},
        "resize": {"augment": {"resize_ratio": 0.3}},
        "shifts": {"train": {"n_shifts": 4}},
        "mels128": {"front_end": {"n_mels": 128}, "augment": {"freq_mask_bins": 16}},
        "mels128_hop2048": {"front_end": {"n_mels": 128, "hop_length": 2048}, "augment": {"freq_mask_bins": 16}},
        "mels128_half_as_long": {
            "front_end": {"n_mels": 128},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 20},
        },
        "mels128_hop4096_60_epochs": {
            "front_end": {"n_mels": 128, "hop_length": 4096, "n_fft": 4096},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 60, "ema_decay": 0.99},
        },
        "mels128_hop4096_50_epochs": {
            "front_end": {"n_mels": 128, "hop_length": 4096, "n_fft": 4096},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 50, "ema_decay": 0.99},
        },
        "mels128_small_hop2048_64_epochs": {
            "model": {"name": "baseline_cnn_small"},
            "front_end": {"n_mels": 128, "hop_length": 2048, "n_fft": 4096},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 64, "batch_size": 32, "ema_decay": 0.98},
        },
        "mels128_small_hop2048_56_epochs": {
            "model": {"name": "baseline_cnn_small"},
            "front_end": {"n_mels": 128, "hop_length": 2048, "n_fft": 4096},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 56, "batch_size": 32, "ema_decay": 0.98},
        },
        "mels128_hop4096_64_epochs_batch32": {
            "front_end": {"n_mels": 128, "hop_length": 4096, "n_fft": 4096},
            "augment": {"freq_mask_bins": 16},
            "train": {"epochs": 64, "batch_size": 32, "ema_decay": 0.98},
        },
        "twice_as_long": {"train": {"epochs": 80}},
        "twice_as_long_and_resize": {"train": {"epochs": 80}, "augment": {"resize_ratio": 0.3}},
        "twice_as_long_resize_and_ema": {"train": {"epochs": 80, "ema_decay": 0.99}, "augment": {"resize_ratio": 0.3}},
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ESC-10")
    parser.add_argument("--folder", type=Path, default=Path("out"), help="of images, runs and tables")
    parser.add_argument("--outer-folds", type=int, nargs="+", default=[1])
    parser.add_argument("--inner-folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 123])
    parser.add_argument("--variants", nargs="+", default=list(SUITE["variants"]), help="the first is the baseline")
    given = parser.parse_args()
    variants = {name: SUITE["variants"][name] for name in given.variants}
    suite = merge(SuiteConfig(), {**SUITE, "variants": variants, "baseline": given.variants[0]})
    n = given.inner_folds
    folds = [n * (outer - 1) + inner for outer in given.outer_folds for inner in range(1, n + 1)]
    suite = reduced(suite, str(given.data), folds, given.seeds)

    def make_split(suite: SuiteConfig, fold: int) -> Split:
        outer, inner = divmod(fold - 1, n)
        return inner_split(suite, outer + 1, inner + 1, n)

    run_variants(suite, make_split, given.folder)
    return 0


def inner_split(suite: SuiteConfig, outer_fold: int, fold: int, n_folds: int) -> Split:
    """A fold over groups of the clips that the outer fold trains on."""
    clips = read_dataset(suite.data)
    outer = make_split(clips, suite.split, outer_fold)
    inside = [clip for clip in clips if clip.clip_id in set(outer.train)]
    inner = make_split(inside, SplitConfig(kind="group_kfold", n_folds=n_folds), fold)
    assert not (set(inner.train) | set(inner.test)) & set(outer.test), "the outer test subset stays unseen"
    return inner


if __name__ == "__main__":
    sys.exit(main())
