"""A picture of a terminal: `python site/terminal_picture.py` runs `earmark demo` and writes docs/demo.svg.

With a file as argument, the picture is made from the text in it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from html import escape
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "demo.svg"
WIDTH, LINE, LEFT, TOP = 116, 17, 18, 50
CHARACTER = 7.8
FONT = "13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
STYLE = f"text{{font:{FONT};white-space:pre;fill:#e6edf3}}.command{{fill:#7ee787}}"


def demo_output() -> str:
    """What `earmark demo` prints in an empty folder, without its progress line."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "earmark", "demo"]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def picture(output: str) -> str:
    """The lines of a terminal as SVG; longer lines are wrapped."""
    lines = ["$ earmark demo"]
    for line in output.rstrip().splitlines():
        lines += textwrap.wrap(line, WIDTH, replace_whitespace=False, drop_whitespace=len(line) > WIDTH) or [""]
    width, height = round(2 * LEFT + WIDTH * CHARACTER), TOP + LINE * len(lines) + 8
    dots = "".join(f'<circle cx="{20 + 18 * i}" cy="20" r="6" fill="{c}"/>' for i, c in enumerate(COLORS))
    rows = [
        f'<text x="{LEFT}" y="{TOP + LINE * i + 4}"{CLASS if i == 0 else ""}>{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>earmark demo</title><style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>{dots}',
            *rows,
            "</svg>\n",
        ]
    )


COLORS = ("#ff5f57", "#febc2e", "#28c840")
CLASS = ' class="command"'

if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else demo_output()
    TARGET.write_text(picture(text), encoding="utf-8", newline="\n")
    print(TARGET)
