"""The compiled kernel against NumPy's transform in float64."""

import numba
import numpy as np
import pytest

from earmark.features.mel_kernel import LANES, UNROLLED, _compiled, make_plan, mel_energies

SIZES = [16, 17, 18, 60, 101, 202, 400, 512, 1000, 1024, 2048]
"""Powers of two, other even and odd numbers, a prime and twice a prime."""


def parts(n_fft: int, n_frames: int):
    """Samples, where frames begin, a window, and filters of every width, one of them without any bin."""
    generator = np.random.default_rng(n_fft)
    starts = np.sort(generator.integers(0, 5000, n_frames))
    n_bins = 1 + n_fft // 2
    filters = np.zeros((n_bins + 1, n_bins))
    for width in range(1, n_bins + 1):
        first = generator.integers(0, n_bins - width + 1)
        filters[width, first : first + width] = generator.uniform(0.1, 1, width)
    samples = generator.normal(0, 0.1, 5000 + n_fft).astype(np.float32)
    return samples, starts, generator.uniform(0, 1, n_fft), filters


def expected(samples, starts, window, filters):
    frames = np.stack([samples[start : start + len(window)] for start in starts]).astype(np.float64)
    return filters @ (np.abs(np.fft.rfft(frames * window)) ** 2).T


@pytest.mark.parametrize("n_frames", [1, LANES, 2 * LANES + 5])
@pytest.mark.parametrize("n_fft", SIZES)
def test_energies_agree_with_numpy(n_fft, n_frames):
    samples, starts, window, filters = parts(n_fft, n_frames)
    truth = expected(samples, starts, window, filters)
    loudest = truth.max()  # rounding is relative to the frame, not to its smallest bin
    for dtype, error in ((np.float32, 3e-6), (np.float64, 1e-14)):
        energies = mel_energies(samples, starts, make_plan(window, filters, dtype))
        assert energies.dtype == dtype
        np.testing.assert_allclose(energies, truth, rtol=1e3 * error, atol=error * loudest)


def test_a_frame_gives_the_same_bytes_in_any_company():
    samples, starts, window, filters = parts(512, 40)
    plan = make_plan(window, filters, np.float32)
    together = mel_energies(samples, starts, plan)
    for chosen in ([0], [39], [3, 17, 30], list(range(40))[::-1]):
        np.testing.assert_array_equal(mel_energies(samples, starts[chosen], plan), together[:, chosen])


def test_weights_are_padded_to_whole_steps():
    _, _, window, filters = parts(18, 1)
    plan = make_plan(window, filters, np.float32)
    assert not (np.diff(plan.first_weights) % UNROLLED).any()
    np.testing.assert_allclose(plan.weights.sum(), filters.sum(), rtol=1e-6)


def test_where_no_folder_can_be_written_functions_are_compiled_all_the_same(monkeypatch):
    njit = numba.njit

    def without_folder(cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_folder)
    assert _compiled(lambda x: x + 1)(2) == 3
