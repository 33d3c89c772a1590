"""Words that have a better one in the field, and British spelling: kept out of the code, the docs and the configs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml")
FOLDERS = ("src", "docs", "configs", "product")
SUFFIXES = {".py", ".md", ".toml", ".html", ".js", ".css", ".bat", ".sh"}
TEXTS = [ROOT / name for name in PLACES] + sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and not {"__pycache__", "data", "outputs", "artifacts"} & set(path.parts[:-1])
)
SUBSET = r"(?:train(?:ing)?|valid(?:ation)?|test|held-out|reported)"
OUR = r"\w*(?:behavi|col|fav|flav|hon|neighb)our\w*"
ISE = (
    r"(?:un|de|re)?(?:categor|character|custom|emphas|equal|general|initial|local|maxim|minim|normal|optim|organ|parallel|"
    r"penal|quant|random|real|recogn|regular|serial|special|stabil|standard|summar|synthes|util|vector|visual)"
    r"is(?:e|es|ed|er|ing|ation|ations)"
)

WORDS = {
    # the pipeline and its commands
    r"roads?": "pipeline",
    r"stations?": "stage",
    r"verbs?": "command",
    r"(?:to|and|or|then) mend|mend (?:it|them)": "fix",
    r"told(?! apart)": "reported",
    r"for ever": "permanently",
    r"(?:cannot|not|nor|to) be had": "not available",
    r"(?:goes|go|went|going) on(?! (?:the|a|an)\b)": "resume, continue",
    r"anew": "again",
    r"hand(?:s|ed|ing)? over": "pass, deliver",
    r"whole or not there": "atomic",
    r"in the order of the data": "in pipeline order",
    r"as one(?=[.,;:)]|$)": "together",
    r"made by code": "synthetic",
    r"(?:one|somebody)'s own": "your own, custom",
    r"last sign of life": "last update",
    r"lonely|delicate": "say what it is",
    r"cheat(?:s|ed|ing)?": "exploit, leak",
    r"speaking\(|replacing\(": "report_errors, atomic_write",
    r"counted\(|listed\(|vary\(": "pluralize, format_names, apply_augmentation",
    r"image_of|family\(": "log_mel_image, base_clip_id",
    r"own_name|Design|Board": "state_dict_name, ModelOptions, TensorBoardLogger",
    r"Header|Job|Planned(?! later)": "CheckpointMetadata, PlannedRun, SuitePlan",
    r"distributed import .*\b(?:join|leave|share)": "init_distributed, destroy_distributed, wrap_distributed",
    r"train import .*\b(?:execute|follow)": "train_and_evaluate, train_as_worker",
    r"(?:run|record|r)\.cell": "fold_seed",
    r"corpus|corpora": "data set",
    r"documented (?:command|script|line|place|split|name|table|run|train)\w*": "the scripts of product/",
    # data, splits and augmentation
    r"waveform variants?|variants? of (?:a |the )?(?:waveform|clip|recording)s?": "augmentation",
    rf"{SUBSET}[ -]parts?|(?:a|c)cross(?:es|ing)? parts": "subset",
    r"(?:which|every|each|same|both|one|own|no|two|between) parts?|parts of (?:a|the) split": "subset",
    r"(?<!\")reported_part(?!\")": "reported_subset",
    r"shar(?:e|es|ed|ing) (?:\w+ )?(?:\w+ )?out": "divide",
    r"shares? of": "fraction of",
    r"(?<!time )stretch(?:es)? of": "segment of, frame of",
    # models and results
    r"(?<!\")multiply[-_ ]adds?(?!\")": "MACs",
    r"behind(?! a (?:firewall|proxy|reverse proxy))": "after, underlying",
    r"networks? (?:\w+ )?look(?:s|ed)?": "model attention, Grad-CAM",
    r"taken for": "confused with, predicted as",
    r"heard as": "predicted as",
    r"as sure as": "calibration",
    r"so many": "minimum detectable effect, as many",
    r"in \d of \d cases": "with 80 % power",
    r"luck of": "variance of",
    # American spelling
    r"grey(?:s|scale)?": "gray",
    OUR: "-or",
    ISE: "-ize",
    r"centre[sd]?": "center",
    r"(?:un)?labell(?:ed|ing)|modell(?:ed|ing)": "labeled, modeled",
    r"licen[c](?:e|es|ed)|analyse[sd]?|artefacts?|catalogues?": "license, analyze, artifact, catalog",
}
PATTERNS = {re.compile(rf"(?<![\w-])(?:{word})(?![\w-])"): better for word, better in WORDS.items()}
"""Whole words and phrases, in lower case or at the beginning of a line."""

ALLOWED = (
    re.compile(r"tests/test_language\.py"),
    re.compile(r"\"(?:multiply_adds|reported_part|part|waveform|behind\.)\""),  # names of format version 1
    re.compile(r"hierarchical modelling\. \*Machine Learning"),  # the title of a paper
    re.compile(r"docs/architecture\.md:\d+: \| .* \|$"),  # the column "not" of the glossary
)


def findings(path: Path) -> list[str]:
    """The words of a file that have a better one, as file:line: word -> replacement."""
    found = []
    name = path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if any(allowed.search(f"{name}:{number}: {line}") for allowed in ALLOWED):
            continue
        for pattern, better in PATTERNS.items():
            for match in pattern.finditer(line[:1].lower() + line[1:]):
                found.append(f"{name}:{number}: {match[0]!r} -> {better}")
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_words_are_those_of_the_field(path):
    found = findings(path)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("the one road from a file to an image", "pipeline"),
        ("a waveform variant of a clip", "augmentation"),
        ("scores the test part once", "subset"),
        ("grey images", "gray"),
        ("multiply-adds", "MACs"),
        ("the run goes on after epoch 3", "resume"),
        ("So many runs find 3.5 points", "minimum detectable effect"),
    ],
)
def test_the_patterns_find_the_dialect(text, better):
    text = text[:1].lower() + text[1:]
    assert any(pattern.search(text) and better in replacement for pattern, replacement in PATTERNS.items())


@pytest.mark.parametrize(
    "text",
    [
        'os.path.join(a, b); ", ".join(names)',
        "the optimism of the training score",
        "the gradient goes on the same device",
        "time stretch by 0.9",
        "channels and samples cannot be told apart",
        "a server behind a reverse proxy",
        "def cell(text)",
        "reads as one HTML page",
        "broadcast in header row",
        "parts = text.split()",
        "font-family: sans-serif",
    ],
)
def test_the_patterns_leave_ordinary_english_alone(text):
    assert not [pattern.pattern for pattern in PATTERNS if pattern.search(text)]
