"""Halve log-mel images in height and width, so that ResNet-50 can be trained on a CPU.

    python benchmarks/pool_images.py ESC-50-spectrograms/png OUT

Each pixel becomes the mean of 2 x 2 (of what is left of them at an odd edge): 127 bins and 247 frames become 64 x 124.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", type=Path, help="folder of <clip_id>_orig.png")
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    paths = sorted(given.images.glob("*_orig.png"))
    for path in paths:
        with Image.open(path) as image:
            image.reduce(2).save(given.output / path.name)
    print(f"{len(paths)} images in {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
