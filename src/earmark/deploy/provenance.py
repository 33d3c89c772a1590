"""Where a model comes from: data, protocol, front end, training and licenses, as its card says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.analysis.records import RunRecord
from earmark.config.search_space import tuned_apart
from earmark.config.sections import OWN
from earmark.deploy.info import ModelInfo
from earmark.runtime.text_tables import escape_markdown

DATA_LICENSES = {
    "esc50": "CC BY-NC 3.0: not for commercial use",
    "esc10": "CC BY 3.0",
    "emodb": "CC0 1.0",
    "urbansound8k": "CC BY-NC 3.0: not for commercial use",
    "speech_commands": "CC BY 4.0",
    "fsdd": "CC BY-SA 4.0",
    "gtzan": "no license: excerpts of published music",
    "dcase_scenes": "free for academic use only",
    "ravdess": "CC BY-NC-SA 4.0: not for commercial use",
    "crema_d": "Open Database License 1.0",
}
"""As docs/data.md gives them."""
WEIGHT_LICENSES = {
    "imagenet": "of torchvision or timm, trained on ImageNet, whose images are for non-commercial research",
    "audioset": "of EfficientAT (MIT), trained on AudioSet (annotations CC BY 4.0; the sounds have their own licenses)",
}
SPLITS = {
    "folds": "published folds",
    "group_kfold": "k-fold, no group in two folds",
    "leave_one_group_out": "one group out at a time",
    "holdout": "one hold-out, no group on both sides",
    "files": "split from files",
}


@dataclass(frozen=True)
class Provenance:
    """What is known of the training of a model; texts for its card."""

    dataset: str
    protocol: str
    training: str
    data_license: str
    weights_license: str


def describe_provenance(records: Sequence[RunRecord]) -> Provenance:
    """The provenance of the runs of one recipe."""
    configs, results = [record.config for record in records], [record.result for record in records]
    first = configs[0]
    folds, seeds = (sorted({getattr(config, key) for config in configs}) for key in ("fold", "seed"))
    known = f"variant {first.variant}; {SPLITS[first.split.kind]}; folds {_listed(folds)}, seeds {_listed(seeds)}"
    subset, waiver = results[0]["selected_on"], results[0]["split"]["waiver"]
    selected = "last epoch" if subset == "none" else f"the epoch was selected on {subset}"
    leaks = sorted({leak for result in results for leak in result["split"]["leaks"]})
    notes = [f"waiver {waiver}" if waiver else "", f"LEAKAGE: {', '.join(leaks)}" if leaks else ""]
    start = "from scratch" if first.model.weights == "none" else f"from the weights {Path(first.model.weights).name}"
    train = [config.train for config in configs]
    length, size, rate = (_several({getattr(one, key) for one in train}) for key in ("epochs", "batch_size", "lr"))
    training = f"{start}, {length} epochs, batches of {size}, rate {rate}"
    if apart := tuned_apart(configs):
        training += f"; {', '.join(apart)} chosen in each fold separately, by inner folds of its training subset"
    weights = WEIGHT_LICENSES.get(first.model.weights, "that of the weights it started from; not known here")
    return Provenance(
        dataset="own recordings" if first.data.dataset in OWN else first.data.dataset,
        protocol="; ".join([known, selected, *(note for note in notes if note)]),
        training=training,
        data_license=DATA_LICENSES.get(first.data.dataset, "that of your recordings; not known here"),
        weights_license="none: trained from scratch" if first.model.weights == "none" else weights,
    )


def _several(values: set[float]) -> str:
    return " or ".join(f"{value:g}" for value in sorted(values))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def metadata_block(info: ModelInfo, name: str, provenance: Provenance | None) -> str:
    """The YAML block that the Hugging Face hub reads: library, task, and the score with its interval (JSON is YAML)."""
    dataset = provenance.dataset if provenance else "unknown"
    lines: dict[str, object] = {
        "library_name": "earmark",
        "pipeline_tag": "audio-classification",
        "tags": ["audio", "log-mel", "earmark"],
    }
    score = info.expected_score
    if score is not None:
        metric: dict[str, object] = {"type": score.metric, "value": round(score.value, 6)}
        metric["name"] = f"{score.metric} of {score.n_clips} clips"  # the card has how they were scored
        if score.low is not None and score.high is not None:
            metric["args"] = {"interval": 0.95, "low": round(score.low, 6), "high": round(score.high, 6)}
        task = {"type": "audio-classification", "name": "Audio classification"}
        result = {"task": task, "dataset": {"type": dataset.replace(" ", "-"), "name": dataset}, "metrics": [metric]}
        lines["model-index"] = [{"name": name, "results": [result]}]
    written = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in lines.items())
    return f"---\n{written}\n---\n"


def provenance_section(info: ModelInfo, provenance: Provenance | None) -> str:
    """Data, protocol, training, front end and licenses, as Markdown."""
    f = info.front_end
    level = "the clip's peak" if f.reference == "peak" else f"{f.reference_db:g} dB"
    mel = f"log-mel, {f.n_mels} bins ({f.mel_scale}), {f.n_fft} samples every {f.hop_length}"
    rows = {"front end": f"{mel}, {f.range_db:g} dB below {level}"}
    if provenance is not None:
        rows |= {
            "data": provenance.dataset,
            "protocol": provenance.protocol,
            "training": provenance.training,
            "license of the data": provenance.data_license,
            "license of the initial weights": provenance.weights_license,
        }
    lines = "\n".join(f"| {key} | {escape_markdown(value)} |" for key, value in rows.items())
    return f"\n## Data and training\n\n| | |\n| --- | --- |\n{lines}\n"
