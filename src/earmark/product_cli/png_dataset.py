"""A list of spectrograms as a PyTorch data set, for custom training loops; earmark itself does not use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from earmark.config.sections import ConfigError
from earmark.product_cli.image_lists import read_list


class PngDataset(Dataset):
    """The images of a CSV file (filepath,label) in its order, as `(image, target)`.

    An image is float32 (1, F, T) in [0, 1], row 0 the highest bin, as the models of earmark expect.

    Args:
        csv_file: the list.
        project_root: paths in the list are looked up from it, or from the list's folder.
        class_names: their order defines the targets; defaults to the sorted labels of this list. Pass those of the
            training list to the validation list, which may lack a class.
        window_frames: crop images to this many frames or pad them with silence at the end, so that they can be
            stacked; 0 keeps their length.
        transform: applied to the image.

    Raises:
        ConfigError: the list cannot be used, or has a label that is not in `class_names`.
    """

    def __init__(
        self,
        csv_file: str | Path,
        project_root: str | Path = ".",
        class_names: Sequence[str] = (),
        window_frames: int = 0,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        rows = read_list(Path(csv_file), Path(project_root))
        self.class_names = tuple(class_names) or tuple(sorted({row.label for row in rows}))
        unknown = {row.label for row in rows} - set(self.class_names)
        if unknown:
            raise ConfigError(f"{csv_file}: label {min(unknown)!r} is not in class_names; pass the classes of training")
        self.paths = [row.path for row in rows]
        self.targets = [self.class_names.index(row.label) for row in rows]
        self.window_frames = window_frames
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as file:
            pixels = np.array(file.convert("L"), dtype=np.float32)
        image = torch.from_numpy(pixels / 255).unsqueeze(0)
        if self.window_frames:
            image = F.pad(image, (0, self.window_frames - image.shape[2]))  # negative padding crops
        return (self.transform(image) if self.transform else image), self.targets[index]
