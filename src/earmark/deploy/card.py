"""The model card: what a model is, what to expect of it, and how to use it, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from earmark.analysis.unknown_tables import SoundRow, UnknownRow, sound_table_rows, threshold_text, unknown_table_rows
from earmark.deploy.info import DeployError, ModelInfo
from earmark.deploy.provenance import Provenance, metadata_block, provenance_section
from earmark.runtime.text_tables import escape_markdown, markdown_table

CARD_FILE = "README.md"
CARD_MARK = b'library_name: "earmark"'
"""In the metadata block of every card."""
INTENDED_USE = """\
## Intended use

For recordings of one of the classes above, recorded like those of the data set. Test it on your own recordings before
you rely on it.
"""
LIMITS = """\
- Without `--unknown` it names one of its classes for every sound. Probabilities are calibrated for clips like those of
  the data set; for other sounds they mean less.
- One clip has one answer. Several sounds at once are neither separated nor counted.
- Microphones, rooms and background sounds other than those of the data set lower the score."""

HELD_OUT = """\
Each class was held out in turn: the recipe was trained without it, and scored its clips and those of the other classes
of one fold. AUROC: how often a clip of the class has a higher score than one of a known class; `distance` is the
unknown score, `plain` the same without dividing by what is usual for each class. The threshold of `detected` was set
on the networks of the other classes. Sounds that differ more from the classes are easier than these."""
SYNTHETIC_SOUNDS = """\
How the model classifies synthetic sounds, 20 dB below full scale. They stand for what no data set contains: noise,
tones and interference. A `no` marks a sound that is assigned to a class even with `--unknown`."""


def check_own_card(path: Path) -> None:
    """Raise `DeployError` where a file is there that is not empty and is no model card of earmark."""
    if path.is_file() and (content := path.read_bytes()) and CARD_MARK not in content:
        raise DeployError(f"{path}: exists and is no model card of earmark; give another name, or remove the file")


def format_card(
    info: ModelInfo,
    name: str,
    unknown: Sequence[UnknownRow] = (),
    provenance: Provenance | None = None,
    sounds: Sequence[SoundRow] = (),
) -> str:
    """The card of a model.

    Args:
        name: what the folder or file is called.
        unknown: how well classes held out are recognized as unknown; empty where it was not measured.
        provenance: of the training; None where it is not known.
        sounds: what the model says of synthetic sounds.
    """
    return f"""{metadata_block(info, name, provenance)}
# {escape_markdown(name)}

{_facts(info)}

{provenance_section(info, provenance)}
{INTENDED_USE}
## Limits

{LIMITS}
{_unknown_section(unknown, sounds)}
## Use

```python
import earmark

answer = earmark.load({json.dumps(name, ensure_ascii=False)}).predict("clip.wav")
print(answer.label, answer.probability, answer.silent)
```

`earmark export {name} model.onnx` writes a file that runs without earmark, and
`earmark export {name} page.html --runtime onnxruntime-web.tgz` a web page that runs the model.
"""


def _facts(info: ModelInfo) -> str:
    """The model in a table of two columns."""
    score = info.expected_score.sentence() if info.expected_score else "not measured"
    calibration = info.calibration
    bias = ", with a bias per class" if calibration.bias else ""
    classes = escape_markdown(", ".join(info.class_names))
    return f"""\
| | |
| --- | --- |
| network | {escape_markdown(info.architecture)} |
| classes | {classes} |
| expected score | {score} |
| input | mono, {info.sample_rate} Hz; windows of {info.window_seconds:.2f} s |
| calibration | temperature {calibration.temperature:.3f}{bias} |
| none of the classes | {_gate(info)} |
| silence | below {info.silence_dbfs:g} dB relative to full scale |
| run | {escape_markdown(info.run_id)} |
| SHA-256 of the weights | {info.checksum} |
| made with | earmark {info.earmark} |"""


def _gate(info: ModelInfo) -> str:
    gate = info.unknown
    if gate is None:
        return "no score"
    return f"unknown score above {threshold_text(**asdict(gate))}"


def _unknown_section(rows: Sequence[UnknownRow], sounds: Sequence[SoundRow]) -> str:
    parts = []
    if rows:
        parts.append(f"{HELD_OUT}\n\n{markdown_table(unknown_table_rows(rows))}\n")
    if sounds:
        parts.append(f"{SYNTHETIC_SOUNDS}\n\n{markdown_table(sound_table_rows(sounds))}\n")
    return "\n".join(["\n## Sounds that are none of the classes\n", *parts]) if parts else ""
