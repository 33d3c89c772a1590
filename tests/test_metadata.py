"""Files about the project: pyproject.toml, requirements.lock, CITATION.cff, issue forms, workflow, install page."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import earmark

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = [c.rsplit(" ", 1)[1] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
REQUIRED = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
REQUIRED += [line for name, lines in EXTRAS.items() if name != "all" for line in lines]


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("line", sorted(set(REQUIRED)))
def test_the_lock_pins_every_dependency_to_a_version_that_is_allowed(line):
    required = Requirement(line)
    found = [pin for pin in pins() if normalize(pin.name) == normalize(required.name)]
    assert found, f"{required.name} is missing: write requirements.lock again, its second line says how"
    for pin in found:
        (version,) = [specifier.version for specifier in pin.specifier]
        assert required.specifier.contains(version), f"{pin} is not allowed by {line}"


def here(requirement: Requirement) -> bool:
    """Whether a requirement applies to this Python and system, without extras."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_the_lock_has_what_its_packages_need():
    """By the metadata of the pinned versions that are installed: nothing is left to be resolved."""
    locked = {normalize(pin.name): pin for pin in pins() if here(pin)}
    checked = 0
    for name, pin in locked.items():
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if pin.specifier.contains(distribution.version, prereleases=True):
            for needed in filter(here, map(Requirement, distribution.requires or ())):
                found = locked.get(normalize(needed.name))
                assert found, f"{name} needs {needed.name}: write requirements.lock again, its second line says how"
                (version,) = [specifier.version for specifier in found.specifier]
                assert needed.specifier.contains(version, prereleases=True), f"{name} needs {needed}, not {version}"
            checked += 1
    assert checked > 20


def test_the_lock_names_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_extra_all_has_all_extras():
    (line,) = EXTRAS["all"]
    assert Requirement(line).extras == set(EXTRAS) - {"all"}


def test_the_installation_page_names_the_extras_and_the_pythons():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \|$", page, flags=re.MULTILINE))
    assert set(rows) | {"all"} == set(EXTRAS)
    for name, lines in EXTRAS.items():
        if name != "all":
            assert {Requirement(line).name for line in lines} == set(rows[name].strip().split(", "))
    first, last = re.search(r"Python (3\.\d+) to (3\.\d+)", page).groups()
    assert (PYTHONS[0], PYTHONS[-1]) == (first, last)
    assert PROJECT["project"]["requires-python"] == f">={first},<3.{int(last[2:]) + 1}"


def test_the_workflow_tests_every_python_and_system_and_what_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["newest"]["strategy"]["matrix"]
    assert matrix == {"os": ["ubuntu-latest", "windows-latest", "macos-latest"], "python": PYTHONS}
    steps = {step.get("run") for job in workflow["jobs"].values() for step in job["steps"]}
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line.startswith("uv run")} <= steps
    assert "uv sync --resolution lowest-direct --all-extras" in steps


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == earmark.__version__ == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize("name", ["bug.yml", "question.yml"])
def test_issue_forms_ask_for_the_doctor(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    fields = {item["id"]: item["attributes"]["label"] for item in form["body"] if item["type"] != "markdown"}
    assert fields["doctor"] == "Output of `earmark doctor`"
    assert all(item["type"] in ("markdown", "textarea") for item in form["body"])
