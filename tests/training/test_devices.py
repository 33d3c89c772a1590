"""The settings of a device."""

import torch

from earmark.training.devices import exact_float32


def test_threads_share_exact_float32_and_the_last_one_restores_the_setting():
    before = torch.backends.cudnn.allow_tf32
    with exact_float32:
        with exact_float32:
            pass
        assert not torch.backends.cudnn.allow_tf32, "one thread is still inside"
    assert torch.backends.cudnn.allow_tf32 == before
