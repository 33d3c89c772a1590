"""Confirm a candidate sample by sample: only copies agree in phase, at one offset, in several windows.

Two takes of one sentence, or two alarm clocks, have similar images. The waveforms of the second in which the images
agree best are cross-correlated (generalized cross-correlation, Knapp and Carter 1976), which gives the offset to a
sample. That second is then cut into windows of equal energy, and each must have its own best lag at the very same
offset and a high correlation there. Gain, sign, codecs and noise change neither; in a second take the lags drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from earmark.audit.fingerprint import FRONT_END
from earmark.audit.matches import Match

WHITENING = 0.7
"""Exponent that evens out the spectra before the cross-correlation (0: not at all, 1: phase only)."""
MAX_SHIFT = 640
"""Samples by which the true offset may differ from that of the images."""
SAME_WAVEFORM = 0.35
"""Coherence that copies reach, mostly far exceeded; unrelated waveforms stay below 0.2, except for single tones."""
SAME_SOUND = 1.35
"""Evidence of the images plus coherence that copies reach and single tones of one pitch do not."""
N_WINDOWS, MIN_WINDOW = 6, 512
"""Windows of equal energy in which the offset is confirmed, and the fewest samples of one (32 ms)."""
MAX_LAG = 320
"""Samples around the offset in which each window searches its own best lag (20 ms)."""
LAG_TOLERANCE = 1
"""Samples by which the lag of a window may differ from the common one: rounding, not drift."""
MIN_CORRELATION = 0.5
"""Correlation of a window that agrees."""
MIN_AGREEING = 5
"""Windows that must agree: one may be covered by another sound."""


@dataclass(frozen=True)
class Agreement:
    """How well the waveforms of a candidate agree."""

    coherence: float
    """Partly whitened cross-correlation in the best second: 1 for copies that differ only in gain or sign, about
    0.05 for different sounds."""
    offset: int
    """Samples by which what they share comes later in the first clip than in the second."""
    correlation: float
    """Normalized cross-correlation of the waveforms at that offset, absolute value, median over the windows; 0 where
    the best second is not coherent, so that no window was compared."""
    n_agreeing: int
    """Windows, of `N_WINDOWS`, that agree at that offset."""


def compare_waveforms(match: Match, first: np.ndarray, second: np.ndarray) -> Agreement:
    """Measure the agreement of two waveforms (N,) at `FRONT_END.sample_rate` where their images agree best."""
    hop = FRONT_END.hop_length
    start = match.best.start * hop
    a = first[start : match.best.stop * hop]
    expected = start - match.offset * hop
    correlation = _whitened(a, _cut(second, expected - MAX_SHIFT, len(a) + 2 * MAX_SHIFT))
    peak = int(np.abs(correlation).argmax())
    there = expected - MAX_SHIFT + peak
    coherence = float(abs(correlation[peak]))
    if not _is_coherent(match, coherence):
        return Agreement(coherence, start - there, 0.0, 0)
    b = _cut(second, there - MAX_LAG, len(a) + 2 * MAX_LAG) * np.sign(correlation[peak])
    windows = [_window_agreement(a[w], b[w.start : w.stop + 2 * MAX_LAG]) for w in _windows(a)]
    agreeing = sum(abs(lag) <= LAG_TOLERANCE and r >= MIN_CORRELATION for lag, r in windows)
    return Agreement(
        coherence=coherence,
        offset=start - there,
        correlation=float(np.median([r for _, r in windows])),
        n_agreeing=agreeing,
    )


def is_copy(match: Match, agreement: Agreement) -> bool:
    """Whether images and waveforms together say that the two clips share a recording."""
    return _is_coherent(match, agreement.coherence) and agreement.n_agreeing >= MIN_AGREEING


def _is_coherent(match: Match, coherence: float) -> bool:
    """Whether the best second allows for a copy, so that its windows are worth comparing."""
    return coherence >= SAME_WAVEFORM and match.evidence + coherence >= SAME_SOUND


def _cut(waveform: np.ndarray, start: int, length: int) -> np.ndarray:
    """Samples from `start`, which may lie before the waveform or beyond it: there, zeros."""
    padded = np.pad(waveform[max(0, start) : max(0, start + length)], (max(0, -start), 0))[:length]
    return np.pad(padded, (0, length - len(padded)))


def _whitened(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Partly whitened cross-correlation of `a` with every segment of its length in the longer `b`, in [-1, 1]."""
    n = next_fast_len(len(a) + len(b), real=True)
    spectra = [rfft(x * np.hanning(len(x)), n) for x in (a, b)]
    spectra = [s / np.maximum(np.abs(s), 1e-9) ** WHITENING for s in spectra]
    energy = np.prod([np.sum(irfft(s, n) ** 2) for s in spectra])
    correlation = irfft(spectra[1] * spectra[0].conj(), n)[: len(b) - len(a) + 1]
    return correlation / np.sqrt(energy) if energy > 0 else np.zeros_like(correlation)


def _windows(a: np.ndarray) -> list[slice]:
    """Windows of equal energy, in order; short ones are widened."""
    energy = np.cumsum(np.square(a, dtype=np.float64) + 1e-12)
    edges = np.searchsorted(energy, np.linspace(0, energy[-1], N_WINDOWS + 1)[1:-1])
    windows = []
    for start, stop in zip([0, *edges], [*edges, len(a)], strict=True):
        missing = max(0, MIN_WINDOW - (stop - start))
        start = max(0, min(start - missing // 2, len(a) - MIN_WINDOW))
        windows.append(slice(int(start), int(min(max(stop, start + MIN_WINDOW), len(a)))))
    return windows


def _window_agreement(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """The best lag of a window within `MAX_LAG`, and its normalized correlation at the common offset."""
    lag = int(_whitened(a, b).argmax()) - MAX_LAG
    near = [b[MAX_LAG + k : MAX_LAG + k + len(a)] for k in range(-LAG_TOLERANCE, LAG_TOLERANCE + 1)]
    products = [(float(np.dot(a, x)), float(np.dot(a, a) * np.dot(x, x))) for x in near]
    return lag, max(product / np.sqrt(power) if power > 0 else 0.0 for product, power in products)
