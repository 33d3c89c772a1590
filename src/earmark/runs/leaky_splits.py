"""The leaky splits that people use, made on purpose, to measure by how much they flatter.

Each function returns a split that carries its leaks (`Split.leaks`), so that a run under it is marked for ever. The
honest split to compare with is `make_split` of the same config, with `add_copies` where copies take part.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip, base_clip_id
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import Split, find_leaks


def random_clips(clips: Sequence[Clip], config: SplitConfig, fold: int) -> Split:
    """One fold of a stratified k-fold that knows no groups, with as many folds as the honest split has.

    Takes and cuts of one recording, or utterances of one speaker, end up on both sides.
    """
    alone = [replace(clip, group=clip.clip_id) for clip in clips]
    n_folds = len(fold_numbers(clips, config))
    blind = SplitConfig(kind="group_kfold", n_folds=n_folds, seed=config.seed, val_ratio=config.val_ratio)
    return mark(replace(make_split(alone, blind, fold), kind="random_clips"), clips)


def selected_on_test(split: Split, clips: Sequence[Clip]) -> Split:
    """The same split, with the test part as the part that selects the epoch."""
    return mark(replace(split, kind="selected_on_test", valid=split.test), clips)


def add_copies(split: Split, copies: Sequence[Clip]) -> Split:
    """The same split, trained on the altered copies (``x_noisy``) of its training clips as well."""
    train = set(split.train)
    return replace(split, train=tuple(sorted(train | {c.clip_id for c in copies if base_clip_id(c.clip_id) in train})))


def copies_across_parts(split: Split, clips: Sequence[Clip], copies: Sequence[Clip], seed: int = 0) -> Split:
    """The same split, trained on altered copies of its test clips too, as when augmentation comes before the split.

    It has as many clips to train on as `add_copies` gives: copies of test clips replace copies of training clips.

    Args:
        split: the honest split of `clips`, without copies.
        clips: the manifest.
        copies: altered copies of the clips, as `variant_files.write_variants` makes them.
        seed: which copies of training clips make room.
    """
    own = [c.clip_id for c in copies if base_clip_id(c.clip_id) in set(split.train)]
    foreign = [c.clip_id for c in copies if base_clip_id(c.clip_id) in set(split.test)]
    kept = random.Random(seed).sample(sorted(own), max(0, len(own) - len(foreign)))
    train = tuple(sorted({*split.train, *kept, *foreign}))
    return mark(replace(split, kind="copies_across_parts", train=train), [*clips, *copies])


def mark(split: Split, clips: Sequence[Clip]) -> Split:
    """The same split with everything that leaks written into it."""
    return replace(split, leaks=tuple(str(leak) for leak in find_leaks(split, clips)))
