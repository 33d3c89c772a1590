"""The front end of `features/log_mel.py` as ordinary ONNX operators: waveform in, 8-bit steps of the image out.

The Fourier transform is two matrix products (Cooley and Tukey 1965): with n = N2 n1 + n2 and k = k1 + N1 k2,

    X[k] = sum over n2 of W_N2^(n2 k2)  ( W_N^(n2 k1)  sum over n1 of W_N1^(n1 k1) w[n] x[n] )

The first product holds the window w and the twiddle factors. As x is real, k1 runs to N1 / 2 only: the other bins
are the conjugates. Time is the last axis throughout, and frames are slices of the waveform in phases of one hop.
"""

from __future__ import annotations

import math

import numpy as np

from earmark.config.sections import FrontEndConfig
from earmark.deploy.onnx_graph import Graph
from earmark.features.log_mel import SMALLEST_ENERGY, hann_window, mel_filters


def add_front_end(graph: Graph, config: FrontEndConfig) -> str:
    """Add the nodes from `waveform` (B, N) to the image, float32 (B, F, T) with whole values from 0 to 255."""
    frames = _frames(graph, _padded(graph, "waveform", config), config)
    energy = _mel_energy(graph, frames, config)
    return _image(graph, energy, config)


def _padded(graph: Graph, waveform: str, config: FrontEndConfig) -> str:
    """Pre-emphasis, then half a transform at both ends: zeros, or the mirrored waveform for Kaldi."""
    if config.pre_emphasis:
        waveform = _pre_emphasized(graph, waveform, config.pre_emphasis)
    half = config.n_fft // 2
    if config.mel_scale != "kaldi":
        return graph.add("Pad", waveform, graph.integers(0, half, 0, half), graph.number(0))
    n = graph.add("Squeeze", graph.size(waveform, 1))
    zero, one, half_name = (graph.number(v, np.int64) for v in (0, 1, half))
    left = graph.add("Range", graph.number(-half, np.int64), zero, one)
    right = graph.add("Range", n, graph.add("Add", n, half_name), one)
    left, right = (graph.add("Gather", waveform, _mirrored(graph, i, n), axis=1) for i in (left, right))
    return graph.add("Concat", left, waveform, right, axis=1)


def _pre_emphasized(graph: Graph, waveform: str, coefficient: float) -> str:
    """x[1:] - c x[:-1]; a single sample gets a zero after it, or nothing would be left."""
    missing = graph.add("Max", graph.add("Sub", graph.integers(2), graph.size(waveform, 1)), graph.integers(0))
    zeros = graph.integers(0, 0, 0)
    waveform = graph.add("Pad", waveform, graph.add("Concat", zeros, missing, axis=0), graph.number(0))
    last = graph.integers(np.iinfo(np.int64).max)
    later = graph.slice(waveform, 1, graph.integers(1), last)
    earlier = graph.slice(waveform, 1, graph.integers(0), graph.integers(-1))
    return graph.add("Sub", later, graph.add("Mul", earlier, graph.number(coefficient)))


def _mirrored(graph: Graph, index: str, n: str) -> str:
    """Indices mirrored at both ends of n samples, again and again where the waveform is shorter than the padding."""
    one, two = graph.number(1, np.int64), graph.number(2, np.int64)
    period = graph.add("Max", graph.add("Mul", graph.add("Sub", n, one), two), one)
    inside = graph.add("Mod", index, period)
    return graph.add("Where", graph.add("Less", inside, n), inside, graph.add("Sub", period, inside))


def _frames(graph: Graph, padded: str, config: FrontEndConfig) -> str:
    """Frames (B, n_fft, T), frame t beginning at sample t * hop_length: slices of the waveform in phases of a hop."""
    hop, n_fft = config.hop_length, config.n_fft
    length = graph.size(padded, 1)
    last_start = graph.add("Sub", length, graph.integers(n_fft))
    n_frames = graph.add("Add", graph.add("Div", last_start, graph.integers(hop)), graph.integers(1))
    n_shifts = math.ceil(n_fft / hop)
    n_rows = graph.add("Add", n_frames, graph.integers(n_shifts - 1))
    needed = graph.add("Mul", n_rows, graph.integers(hop))
    missing = graph.add("Max", graph.add("Sub", needed, length), graph.integers(0))
    longer = graph.add("Pad", padded, graph.add("Concat", graph.integers(0, 0, 0), missing, axis=0), graph.number(0))
    whole = graph.slice(longer, 1, graph.integers(0), needed)
    phases = graph.add("Transpose", graph.reshape(whole, 0, -1, hop), perm=[0, 2, 1])  # (B, hop, rows)
    shifted = []
    for shift in range(n_shifts):
        end = graph.add("Add", n_frames, graph.integers(shift))
        rows = graph.slice(phases, 2, graph.integers(shift), end)
        left = n_fft - shift * hop
        shifted.append(rows if left >= hop else graph.slice(rows, 1, graph.integers(0), graph.integers(left)))
    return shifted[0] if n_shifts == 1 else graph.add("Concat", *shifted, axis=1)


def factors(n_fft: int) -> tuple[int, int]:
    """N1 and N2 with N1 N2 = n_fft and N1 the smallest factor that is at least the square root."""
    n1 = next(n for n in range(math.isqrt(n_fft - 1) + 1, n_fft + 1) if n_fft % n == 0)
    return n1, n_fft // n1


def _mel_energy(graph: Graph, frames: str, config: FrontEndConfig) -> str:
    """Mel energies (B, F, T), row 0 the highest bin, of frames (B, n_fft, T)."""
    n1, n2 = factors(config.n_fft)
    n_k1 = n1 // 2 + 1
    columns = graph.add("Transpose", graph.reshape(frames, 0, n1, n2, -1), perm=[0, 2, 1, 3])  # (B, N2, N1, T)
    first = graph.add("MatMul", graph.constant(first_stage(config), "first_stage"), columns)  # (B, N2, 2 K1, T)
    turned = graph.add("Transpose", graph.reshape(first, 0, n2, 2, n_k1, -1), perm=[0, 3, 2, 1, 4])
    turned = graph.reshape(turned, 0, n_k1, 2 * n2, -1)  # (B, K1, 2 N2, T)
    spectrum = graph.add("MatMul", graph.constant(second_stage(n2), "second_stage"), turned)
    squares = graph.add("Mul", spectrum, spectrum)
    real, imaginary = graph.add("Split", squares, axis=2, num_outputs=2, n_outputs=2)
    power = graph.reshape(graph.add("Add", real, imaginary), 0, n_k1 * n2, -1)
    return graph.add("MatMul", graph.constant(mel_of_products(config), "mel_filters"), power)


def first_stage(config: FrontEndConfig) -> np.ndarray:
    """Window, DFT over n1 and twiddle factors: float32 (N2, 2 K1, N1), real rows, then imaginary ones."""
    n1, n2 = factors(config.n_fft)
    k1 = np.arange(n1 // 2 + 1)
    window = hann_window(config).reshape(n1, n2).T  # (N2, N1)
    sample = np.arange(config.n_fft).reshape(n1, n2).T
    angle = -2 * np.pi * (sample[:, None, :] * k1[None, :, None] % config.n_fft) / config.n_fft
    turns = np.exp(1j * angle) * window[:, None, :]
    return np.concatenate([turns.real, turns.imag], axis=1).astype(np.float32)


def second_stage(n2: int) -> np.ndarray:
    """DFT over n2 of complex numbers as a real matrix, float32 (2 N2, 2 N2): real rows, then imaginary ones."""
    turns = np.exp(-2j * np.pi * (np.outer(np.arange(n2), np.arange(n2)) % n2) / n2)
    return np.block([[turns.real, -turns.imag], [turns.imag, turns.real]]).astype(np.float32)


def mel_of_products(config: FrontEndConfig) -> np.ndarray:
    """The mel filters, highest first, over the bins in the order of the products; float32 (F, K1 N2).

    The products hold some bins twice, as themselves and as conjugates; the second ones count 0.
    """
    n1, n2 = factors(config.n_fft)
    filters = mel_filters(config)[::-1]
    columns = np.zeros((config.n_mels, (n1 // 2 + 1) * n2))
    seen = set()
    for k1 in range(n1 // 2 + 1):
        for k2 in range(n2):
            k = k1 + n1 * k2
            k = min(k, config.n_fft - k)
            if k not in seen:
                columns[:, k1 * n2 + k2] = filters[:, k]
                seen.add(k)
    assert len(seen) == filters.shape[1], "every bin is among the products"
    return columns.astype(np.float32)


def _image(graph: Graph, energy: str, config: FrontEndConfig) -> str:
    """The image (B, F, T): decibels below the reference, clamped, as 8-bit steps (rounded half to even)."""
    if config.log_offset:
        raised = graph.add("Add", energy, graph.number(config.log_offset))
    else:
        raised = graph.add("Max", energy, graph.number(SMALLEST_ENERGY))
    level = graph.add("Mul", graph.add("Log", raised), graph.number(10 / math.log(10)))
    if config.reference == "peak":
        reference = graph.add("ReduceMax", level, graph.integers(1, 2), keepdims=1)
    else:
        reference = graph.number(config.reference_db)
    below = graph.add("Sub", level, reference)
    clamped = graph.add("Min", graph.add("Max", below, graph.number(-config.range_db)), graph.number(0))
    if config.reference == "peak":  # digital silence has no peak to refer to
        peak = graph.add("ReduceMax", energy, graph.integers(1, 2), keepdims=1)
        silent = graph.add("LessOrEqual", peak, graph.number(SMALLEST_ENERGY))
        clamped = graph.add("Where", silent, graph.number(-config.range_db), clamped)
    lifted = graph.add("Add", clamped, graph.number(config.range_db))
    return graph.add("Round", graph.add("Mul", lifted, graph.number(255 / config.range_db)))
