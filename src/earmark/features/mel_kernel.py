"""From frames to mel energies in compiled code: window, real FFT, power spectrum and mel filters.

Sixteen frames go through side by side, so that every step is one instruction for many of them and their data stay in
the cache from the window to the filters. No step adds up across frames and nothing is reordered for speed, so a frame
gives the same bytes whatever frames stand beside it and however wide the processor's vectors are.

Numba compiles a function when it is first called and keeps the result on disk: the first call on a machine takes some
seconds. Everything here works in the dtype of the plan, float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

LANES = 16
"""Frames side by side: a whole vector register of float32 on the widest processors; more would leave the cache."""
UNROLLED = 4
"""Filter weights applied at a time; the number of weights of each filter is a multiple of it."""
STAGGER = 64
"""Numbers between the arrays of a transform: at distances of a power of two, they would drive each other out of the
cache, which costs twice the time of the transform."""
HALF = np.float32(0.5)
"""Exact in both precisions, and does not raise float32 to float64."""


class Plan(NamedTuple):
    """What the kernel looks up: one front end in one precision."""

    window: np.ndarray
    """(n_fft,)"""
    cosines: np.ndarray
    """cos(2 pi k / n_fft), (n_fft,)"""
    sines: np.ndarray
    """-sin(2 pi k / n_fft), (n_fft,)"""
    radices: np.ndarray
    """Factors of the length of the complex transform, int64."""
    first_bins: np.ndarray
    """The lowest bin of each filter, int64 (F,)."""
    first_weights: np.ndarray
    """Where the weights of each filter begin, and where the last ends, int64 (F + 1,)."""
    weights: np.ndarray
    """The weights of all filters one after another, each from its lowest bin on."""


def make_plan(window: np.ndarray, filters_FK: np.ndarray, dtype: type[np.floating]) -> Plan:
    """The plan of a window (n_fft,) and filters (F, 1 + n_fft // 2), both float64."""
    n_fft = len(window)
    angles = 2 * np.pi * np.arange(n_fft) / n_fft
    first_bins, weights = [], []
    for row in filters_FK:
        used = np.flatnonzero(row)
        first, last = (used[0], used[-1] + 1) if len(used) else (0, 0)
        first_bins.append(first)
        weights.append(np.pad(row[first:last], (0, -(last - first) % UNROLLED)))
    return Plan(
        window.astype(dtype),
        np.cos(angles).astype(dtype),
        -np.sin(angles).astype(dtype),
        np.array(_radices(n_fft // 2 if n_fft % 2 == 0 else n_fft)),
        np.array(first_bins),
        np.cumsum([0, *map(len, weights)]),
        np.concatenate(weights).astype(dtype),
    )


def _radices(size: int) -> list[int]:
    """Factors of a transform's length: fours, for which there is a faster pass, then primes."""
    radices, radix = [], 4
    while size > 1:
        if size % radix == 0:
            radices.append(radix)
            size //= radix
        else:
            radix = {4: 2, 2: 3}.get(radix, radix + 2)
    return radices


def _compiled(function: Callable) -> Callable:
    """`function` as machine code that is kept on disk, or at least in this process where no folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@_compiled
def mel_energies(samples: np.ndarray, starts: np.ndarray, plan: Plan) -> np.ndarray:
    """Energy in each mel filter of the frames of n_fft `samples` that begin at `starts`; (F, T), lowest bin first."""
    n_frames, n_mels, n_fft = len(starts), len(plan.first_bins), len(plan.window)
    size = n_fft // 2 if n_fft % 2 == 0 else n_fft
    energy_FT = np.empty((n_mels, n_frames), plan.window.dtype)
    source, target = _complex_arrays(size, plan.window.dtype)
    power_KL = np.zeros((n_fft // 2 + UNROLLED, LANES), plan.window.dtype)  # weights of 0 reach beyond the last bin
    energy_L = np.empty(LANES, plan.window.dtype)
    for first in range(0, n_frames, LANES):
        group = starts[first : first + LANES]
        if n_fft % 2 == 0:
            _load_pairs(samples, group, plan.window, source)
        else:
            _load_singles(samples, group, plan.window, source)
        source, target = _transform(source, target, plan)
        if n_fft % 2 == 0:
            _power_of_pairs(source, plan, power_KL)
        else:
            _power_of_singles(source, power_KL)
        for mel in range(n_mels):
            weights = plan.weights[plan.first_weights[mel] : plan.first_weights[mel + 1]]
            _filter(power_KL[plan.first_bins[mel] :], weights, energy_L)
            energy_FT[mel, first : first + LANES] = energy_L[: len(group)]
    return energy_FT


@_compiled
def _complex_arrays(size, dtype):
    """Two arrays of complex numbers, each its real and its imaginary parts (size, LANES)."""
    numbers = size * LANES
    memory = np.empty((4, numbers + STAGGER), dtype)
    parts = [memory[i, :numbers].reshape(size, LANES) for i in range(4)]
    return (parts[0], parts[1]), (parts[2], parts[3])


@_compiled
def _load_pairs(samples, starts, window, target):
    """Windowed frames, two neighbouring samples as one complex number: a real transform at half the length."""
    (real_NL, imaginary_NL), lanes = target, _all_lanes(starts)
    for n in range(len(real_NL)):
        for lane in range(LANES):
            k = lanes[lane] + 2 * n
            real_NL[n, lane] = samples[k] * window[2 * n]
            imaginary_NL[n, lane] = samples[k + 1] * window[2 * n + 1]


@_compiled
def _load_singles(samples, starts, window, target):
    """Windowed frames of odd length, each sample a complex number of its own."""
    (real_NL, imaginary_NL), lanes = target, _all_lanes(starts)
    for n in range(len(real_NL)):
        for lane in range(LANES):
            real_NL[n, lane] = samples[lanes[lane] + n] * window[n]
            imaginary_NL[n, lane] = 0


@_compiled
def _all_lanes(starts):
    """Where the frame of each lane begins; the last frame fills lanes that have none."""
    lanes = np.empty(LANES, np.int64)
    for lane in range(LANES):
        lanes[lane] = starts[min(lane, len(starts) - 1)]
    return lanes


@_compiled
def _transform(source, target, plan):
    """Complex discrete Fourier transform over the first axis, and the array that is free now.

    Stockham's form with mixed radices, decimation in time (Van Loan 1992, 1.7): in and out in natural order.
    """
    size = len(source[0])
    turn = len(plan.window) // size  # a step of the transform's own roots of unity among those of n_fft
    done = 1
    for radix in plan.radices:
        left = size // (done * radix)
        old, new = (done, radix, left * LANES), (radix, done, left * LANES)
        xr, xi, yr, yi = source[0].reshape(old), source[1].reshape(old), target[0].reshape(new), target[1].reshape(new)
        if radix == 4:
            _pass_4(xr, xi, yr, yi, plan.cosines, plan.sines, turn * left)
        else:
            _pass_any(xr, xi, yr, yi, plan.cosines, plan.sines, turn * left)
        source, target = target, source
        done *= radix
    return source, target


@_compiled
def _pass_4(xr, xi, yr, yi, cosines, sines, turn):
    """One pass of radix 4 from x (done, 4, S) to y (4, done, S)."""
    for p in range(xr.shape[0]):
        c1, s1 = cosines[p * turn], sines[p * turn]
        c2, s2 = cosines[2 * p * turn], sines[2 * p * turn]
        c3, s3 = cosines[3 * p * turn], sines[3 * p * turn]
        for q in range(xr.shape[2]):
            ar, ai = xr[p, 0, q], xi[p, 0, q]
            br = xr[p, 1, q] * c1 - xi[p, 1, q] * s1
            bi = xr[p, 1, q] * s1 + xi[p, 1, q] * c1
            cr = xr[p, 2, q] * c2 - xi[p, 2, q] * s2
            ci = xr[p, 2, q] * s2 + xi[p, 2, q] * c2
            dr = xr[p, 3, q] * c3 - xi[p, 3, q] * s3
            di = xr[p, 3, q] * s3 + xi[p, 3, q] * c3
            yr[0, p, q], yi[0, p, q] = (ar + cr) + (br + dr), (ai + ci) + (bi + di)
            yr[1, p, q], yi[1, p, q] = (ar - cr) + (bi - di), (ai - ci) - (br - dr)
            yr[2, p, q], yi[2, p, q] = (ar + cr) - (br + dr), (ai + ci) - (bi + di)
            yr[3, p, q], yi[3, p, q] = (ar - cr) - (bi - di), (ai - ci) + (br - dr)


@_compiled
def _pass_any(xr, xi, yr, yi, cosines, sines, turn):
    """One pass of any radix R from x (done, R, S) to y (R, done, S), written out."""
    done, radix, n_columns = xr.shape
    for p in range(done):
        for j in range(radix):
            for q in range(n_columns):
                yr[j, p, q], yi[j, p, q] = xr[p, 0, q], xi[p, 0, q]
            for i in range(1, radix):
                k = i * (p + done * j) % (done * radix) * turn
                c, s = cosines[k], sines[k]
                for q in range(n_columns):
                    yr[j, p, q] += xr[p, i, q] * c - xi[p, i, q] * s
                    yi[j, p, q] += xr[p, i, q] * s + xi[p, i, q] * c


@_compiled
def _power_of_pairs(z, plan, power_KL):
    """|X|^2 of real frames whose even and odd samples were the real and imaginary parts of the transform z."""
    zr, zi = z
    size = len(zr)
    for lane in range(LANES):
        low, high = zr[0, lane] + zi[0, lane], zr[0, lane] - zi[0, lane]
        power_KL[0, lane], power_KL[size, lane] = low * low, high * high
    if size % 2 == 0:
        middle = size // 2
        for lane in range(LANES):
            power_KL[middle, lane] = zr[middle, lane] * zr[middle, lane] + zi[middle, lane] * zi[middle, lane]
    for k in range(1, (size + 1) // 2):
        c, s = plan.cosines[k], plan.sines[k]
        for lane in range(LANES):
            even_r, even_i = zr[k, lane] + zr[size - k, lane], zi[k, lane] - zi[size - k, lane]
            odd_r, odd_i = zi[k, lane] + zi[size - k, lane], zr[size - k, lane] - zr[k, lane]
            turned_r, turned_i = odd_r * c - odd_i * s, odd_r * s + odd_i * c
            low_r, low_i = HALF * (even_r + turned_r), HALF * (even_i + turned_i)
            high_r, high_i = HALF * (even_r - turned_r), HALF * (even_i - turned_i)
            power_KL[k, lane] = low_r * low_r + low_i * low_i
            power_KL[size - k, lane] = high_r * high_r + high_i * high_i


@_compiled
def _power_of_singles(z, power_KL):
    """|X|^2 of frames of odd length, without the mirrored half."""
    zr, zi = z
    for k in range(len(zr) // 2 + 1):
        for lane in range(LANES):
            power_KL[k, lane] = zr[k, lane] * zr[k, lane] + zi[k, lane] * zi[k, lane]


@_compiled
def _filter(power_KL, weights, energy_L):
    """The weighted sum over the bins from the first on."""
    for lane in range(LANES):
        energy_L[lane] = 0
    for k in range(0, len(weights), UNROLLED):
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for lane in range(LANES):
            low = a * power_KL[k, lane] + b * power_KL[k + 1, lane]
            energy_L[lane] += low + (c * power_KL[k + 2, lane] + d * power_KL[k + 3, lane])
