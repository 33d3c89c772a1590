"""The settings of a device."""

import torch

from earmark.training.devices import exact_float32


def test_threads_share_exact_float32_and_the_last_one_restores_the_setting():
    before = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    try:
        with exact_float32:
            with exact_float32:
                pass
            assert not torch.backends.cudnn.allow_tf32, "one thread is still inside"
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.allow_tf32 == before
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
