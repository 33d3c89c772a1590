"""The pictures of docs/student.md: python site/student_pictures.py writes docs/student-*.svg, the same bytes each time.

Two are simulations, computed here; one shows numbers of docs/protocol.md; one is a drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
STYLE = """
.card{fill:#fff;stroke:#d8dee4}.ink{fill:#1f2328}.dim{fill:#59636e}.line{stroke:#8c959f}.grid{stroke:#d8dee4}
.a{fill:#0969da;stroke:#0969da}.b{fill:#bc4c00;stroke:#bc4c00}text{font:14px system-ui,sans-serif;stroke:none}
.small{font-size:12px}.bold{font-weight:600}
@media(prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.dim{fill:#9198a1}
.line{stroke:#656c76}.grid{stroke:#2f353d}.a{fill:#58a6ff;stroke:#58a6ff}.b{fill:#f0883e;stroke:#f0883e}}
"""
LEAKS = [
    ("EmoDB: clips split at random", 9.5, 0.3, 18.7),
    ("EmoDB: epoch chosen on test", 5.2, 3.0, 7.5),
    ("EmoDB: copies in both subsets", 7.7, 0.9, 14.4),
    ("ESC-10: clips split at random", 0.2, -6.8, 7.3),
    ("ESC-10: epoch chosen on test", 1.2, -0.2, 2.7),
    ("ESC-10: copies in both subsets", 4.0, -0.1, 8.1),
]
"""Points of accuracy gained by a leak, with 95 % interval: one seed, 20 epochs (docs/protocol.md)."""


def svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """A picture with a card behind it, in light and dark colors."""
    card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    body = "\n".join([f"<title>{title}</title>", f"<style>{STYLE}</style>", card, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n{body}\n</svg>\n'


def text(x: float, y: float, words: str, look: str = "ink", anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def line(x1: float, y1: float, x2: float, y2: float, look: str = "line", width: float = 1) -> str:
    """A straight line."""
    return f'<line class="{look}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke-width="{width}"/>'


def dot(x: float, y: float, look: str, radius: float = 4) -> str:
    """A filled circle."""
    return f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def groups_picture() -> str:
    """Six recordings of three clips: cut clip by clip, and recording by recording."""
    parts = []
    test_of = {"Clips at random": [(0, 1), (1, 2), (3, 0), (5, 2)], "By recording": [(4, c) for c in range(3)]}
    for column, (title, test) in enumerate(test_of.items()):
        left = 20 + 290 * column
        parts.append(text(left, 30, title, "ink bold"))
        for r in range(6):
            y = 48 + 34 * r
            parts.append(text(left, y + 17, f"recording {r + 1}", "dim small"))
            for c in range(3):
                look = "b" if (r, c) in test else "a"
                parts.append(f'<rect class="{look}" x="{left + 90 + 46 * c}" y="{y}" width="38" height="24" rx="3"/>')
            if {(r, c) in test for c in range(3)} == {True, False}:
                parts.append(text(left + 234, y + 17, "leak", "ink small bold"))
    parts += [dot(28, 270, "a", 6), text(40, 275, "train", "dim"), dot(98, 270, "b", 6), text(110, 275, "test", "dim")]
    return svg(600, 292, "A split of clips and a split of recordings", parts)


def best_epoch_gain(n_clips: int, n_epochs: int, accuracy: float, n_repeats: int = 20_000) -> float:
    """Mean gain, in points, of the best of several scores of networks that are all equally good."""
    rng = np.random.default_rng(0)
    best = rng.binomial(n_clips, accuracy, size=(n_repeats, n_epochs)).max(axis=1)
    return float(100 * (best / n_clips - accuracy).mean())


def epoch_picture() -> str:
    """What choosing the best epoch on the test clips adds to a score of 80 %, by the number of epochs."""
    epochs = (1, 2, 5, 10, 20, 50)
    x_of = {n: 90 + 90 * i for i, n in enumerate(epochs)}
    parts = [text(20, 30, "Points gained by luck alone, if every epoch is equally good (80 %)", "ink bold")]
    for gain in (0, 3, 6, 9):
        y = 250 - 20 * gain
        parts += [line(70, y, 570, y, "grid"), text(62, y + 4, f"+{gain}" if gain else "0", "dim small", "end")]
    for n_clips, look in ((100, "b"), (400, "a")):
        gains = [best_epoch_gain(n_clips, n, 0.8) for n in epochs]
        places = [(x_of[n], 250 - 20 * gain) for n, gain in zip(epochs, gains, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="{look}" style="fill:none" stroke-width="2" points="{path}"/>')
        parts += [dot(x, y, look) for x, y in places]
        parts.append(text(540, places[-1][1] - 10, f"{n_clips} test clips: +{gains[-1]:.1f}", "ink small", "end"))
    parts += [text(x, 272, str(n), "dim small", "middle") for n, x in x_of.items()]
    parts.append(text(315, 294, "epochs to choose from", "dim small", "middle"))
    return svg(600, 308, "Choosing the best epoch on the test subset", parts)


def simulate_interval(seed: int, by_group: bool) -> tuple[float, float, float]:
    """Score and 95 % bootstrap interval of one experiment: 40 recordings of 5 clips, which are right together."""
    rng = np.random.default_rng(seed)
    chance = np.clip(rng.normal(0.8, 0.25, size=40), 0, 1)
    chance += 0.8 - MEAN_CHANCE
    right = rng.binomial(1, np.clip(chance, 0, 1)[:, None], size=(40, 5))
    units = right.mean(axis=1) if by_group else right.ravel()
    means = units[rng.integers(len(units), size=(1000, len(units)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(right.mean()), float(low), float(high)


MEAN_CHANCE = float(np.clip(np.random.default_rng(1).normal(0.8, 0.25, size=1_000_000), 0, 1).mean())
"""Of a recording before it is moved to 0.8."""


def true_score() -> float:
    """The expected score of `simulate_interval`."""
    chance = np.clip(np.random.default_rng(2).normal(0.8, 0.25, size=1_000_000), 0, 1) + 0.8 - MEAN_CHANCE
    return float(np.clip(chance, 0, 1).mean())


def coverage(by_group: bool, n: int = 2000) -> float:
    """How often the interval contains the true score."""
    truth = true_score()
    found = [simulate_interval(seed, by_group) for seed in range(n)]
    return sum(low <= truth <= high for _, low, high in found) / n


def interval_picture() -> str:
    """Twenty experiments with the same true score, and their intervals, over clips and over recordings."""
    truth, parts = true_score(), []
    for column, (title, by_group) in enumerate((("Interval over clips", False), ("Interval over recordings", True))):
        left = 20 + 290 * column
        parts.append(text(left, 30, title, "ink bold"))
        share = f"contains the truth in {100 * coverage(by_group):.0f} % of 2000"
        parts.append(text(left, 50, share, "dim small"))
        x = lambda value, left=left: left + 260 * (value - 0.6) / 0.4  # noqa: E731
        parts.append(line(x(truth), 62, x(truth), 312))
        for row in range(20):
            score, low, high = simulate_interval(row, by_group)
            y, look = 68 + 12.5 * row, "a" if low <= truth <= high else "b"
            parts += [line(x(low), y, x(high), y, look, 2), dot(x(score), y, look, 3)]
        parts += [text(x(v), 332, f"{100 * v:.0f} %", "dim small", "middle") for v in (0.7, 0.8, 0.9)]
    return svg(600, 346, "Twenty experiments and their intervals", parts)


def leaks_picture() -> str:
    """Measured gains of three leaks on two data sets."""
    parts = [text(20, 30, "Points of accuracy that a leak was worth, with 95 % interval", "ink bold")]
    x = lambda points: 300 + 11 * (points + 5)  # noqa: E731
    for points in (-5, 0, 5, 10, 15, 20):
        parts += [line(x(points), 46, x(points), 226, "grid" if points else "line")]
        parts.append(text(x(points), 246, f"{points:+d}" if points else "0", "dim small", "middle"))
    for row, (name, value, low, high) in enumerate(LEAKS):
        y, look = 62 + 30 * row, "b" if low > 0 else "a"
        parts += [text(20, y + 5, name, "ink small"), line(x(low), y, x(high), y, look, 2), dot(x(value), y, look)]
    parts += [dot(28, 270, "b"), text(38, 275, "the interval is above 0", "dim small")]
    parts += [dot(208, 270, "a"), text(218, 275, "the interval contains 0", "dim small")]
    return svg(600, 290, "What leaks were worth", parts)


PICTURES = {
    "student-groups.svg": groups_picture,
    "student-epoch.svg": epoch_picture,
    "student-interval.svg": interval_picture,
    "student-leaks.svg": leaks_picture,
}


def main() -> None:
    """Write all pictures."""
    for name, picture in PICTURES.items():
        (DOCS / name).write_text(picture(), encoding="utf-8", newline="\n")
        print(DOCS / name)


if __name__ == "__main__":
    main()
