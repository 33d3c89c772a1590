"""The model card: what a model is, what to expect of it, and how to use it, as Markdown."""

from __future__ import annotations

import json

from earmark.deploy.info import ModelInfo
from earmark.runtime.text_tables import escape_markdown

LIMITS = """\
- It names one of its classes for every sound, also for sounds that are none of them. Probabilities are calibrated for
  clips like those of the data set; for other sounds they mean less.
- One clip has one answer. Several sounds at once, and their number, are not told apart.
- Microphones, rooms and background sounds other than those of the data set lower the score."""


def format_card(info: ModelInfo, name: str) -> str:
    """The card of a model.

    Args:
        name: what the folder or file is called.
    """
    score = info.expected_score.sentence() if info.expected_score else "not measured"
    calibration = info.calibration
    bias = ", with a bias per class" if calibration.bias else ""
    classes = escape_markdown(", ".join(info.class_names))
    return f"""# {escape_markdown(name)}

| | |
| --- | --- |
| network | {escape_markdown(info.architecture)} |
| classes | {classes} |
| expected score | {score} |
| input | mono, {info.sample_rate} Hz; windows of {info.window_seconds:.2f} s |
| calibration | temperature {calibration.temperature:.3f}{bias} |
| silence | below {info.silence_dbfs:g} dB relative to full scale |
| run | {escape_markdown(info.run_id)} |
| SHA-256 of the weights | {info.checksum} |
| made with | earmark {info.earmark} |

## Limits

{LIMITS}

## Use

```python
from earmark.deploy.model import load

answer = load({json.dumps(name, ensure_ascii=False)}).predict("clip.wav")
print(answer.label, answer.probability, answer.silent)
```

`earmark export {name} model.onnx` writes a file that runs without earmark, and
`earmark export {name} page.html --runtime onnxruntime-web.tgz` a page that runs in a browser.
"""
