"""The fifteen lines of docs/deploy.md, run where neither torch nor earmark can be imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from deploy_audio import make_waveform
from earmark.deploy.model import load

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
ABSENT = ("torch", "earmark", "numba", "scipy")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); exec(open('snippet.py').read())"


def snippet() -> str:
    text = PAGE.read_text(encoding="utf-8").split("<!-- tests/deploy/test_snippet.py runs this -->")[1]
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)


def run_snippet(folder, name):
    (folder / "snippet.py").write_text(snippet(), encoding="utf-8")
    command = [sys.executable, "-c", BLOCK, name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_snippet_answers_as_earmark_does(onnx_file, tmp_path):
    assert len([line for line in snippet().splitlines() if line]) <= 15
    (tmp_path / "model.onnx").write_bytes(onnx_file.read_bytes())
    soundfile.write(tmp_path / "clip.wav", make_waveform(3000), 8000)
    result = run_snippet(tmp_path, "clip.wav")
    assert result.returncode == 0, result.stderr
    printed = [line.split("\t") for line in result.stdout.splitlines()]
    expected = load(onnx_file).predict(tmp_path / "clip.wav").top(3)
    assert [name for name, _ in printed] == [name for name, _ in expected]
    assert [float(p) for _, p in printed] == pytest.approx([p for _, p in expected], abs=1e-4)


def test_snippet_refuses_another_rate(onnx_file, tmp_path):
    (tmp_path / "model.onnx").write_bytes(onnx_file.read_bytes())
    soundfile.write(tmp_path / "clip.wav", make_waveform(3000), 16000)
    assert "resample to 8000 Hz first" in run_snippet(tmp_path, "clip.wav").stderr
