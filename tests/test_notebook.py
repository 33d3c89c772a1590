"""The notebook: its form, and (slow) that it runs from top to bottom."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_no_output_is_committed():
    for cell in CELLS:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_its_code_is_python_and_its_links_lead_somewhere():
    import re

    for cell in CELLS:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            compile(text, NOTEBOOK.name, "exec")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (NOTEBOOK.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the notebook tools; warnings of earmark are shown in the notebook
def test_it_runs_from_top_to_bottom(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="run with: uv run --with nbclient,ipykernel pytest -m slow")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = [
        output.get("text") or str(output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    assert "72 files" in texts[0]
    assert any("24 groups" in text for text in texts), "the audit"
    assert any("<iframe" in text for text in texts), "the report"
    assert texts[-1].splitlines()[-1].split()[0] in ("dog_bark", "rain", "siren")
