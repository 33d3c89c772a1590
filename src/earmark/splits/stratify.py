"""Share out groups so that every part has its share of the clips and of every class.

Groups are indivisible, so this is a vector partition problem. It is solved by a greedy start and a local
search over moves and swaps, from several random starts: on small cases that is the exhaustive optimum
(tests/test_splits.py), on 2000 groups it takes about half a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STARTS = 100
"""Random starts at most; fewer when one of them cannot be beaten."""
START_BUDGET = 4000
"""Starts times groups: larger problems get fewer starts, at least one."""
MIN_GAIN = 1e-9
"""A smaller gain is rounding, and could go round in circles."""


def balance_cost(counts: np.ndarray, parts: np.ndarray, shares: np.ndarray) -> float:
    """How far parts are from their shares: squared errors of class shares and, as heavy, of clip shares.

    Args:
        counts: clips of each group in each class, (G, K); every class has at least one clip.
        parts: index of the part of each group, (G,).
        shares: wanted share of each part, (P,), summing to 1.
    """
    vectors, targets = _vectors(counts, shares)
    return float(np.sum(_excess(vectors, targets, parts) ** 2))


def balanced_subsets(counts: np.ndarray, shares: np.ndarray, seed: int, pinned: np.ndarray | None = None) -> np.ndarray:
    """Give each group a part so that `balance_cost` is as low as a search from several starts can make it.

    Args:
        counts: clips of each group in each class, (G, K); every class has at least one clip.
        shares: wanted share of each part, (P,), summing to 1.
        seed: of the random starts; equal seeds give equal parts.
        pinned: groups that must stay in part 0, (G,) bool.

    Returns:
        The part of each group, (G,) int.
    """
    rng = np.random.default_rng(seed)
    vectors, targets = _vectors(counts, shares)
    free = np.arange(len(counts)) if pinned is None else np.flatnonzero(~pinned)
    enough = _lower_bound(counts, shares) + MIN_GAIN
    best_cost, best = np.inf, np.zeros(0)
    for _ in range(int(np.clip(START_BUDGET // max(len(free), 1), 1, STARTS))):
        cost, parts = _search(vectors, targets, free, rng)
        if cost < best_cost - MIN_GAIN:
            best_cost, best = cost, parts
        if best_cost <= enough:
            break
    return best


def _lower_bound(counts: np.ndarray, shares: np.ndarray) -> float:
    """The cost if clips, not groups, could be shared out: each class by itself rounded to whole clips."""
    bound = 0.0
    for n, weight in [*((n, 1) for n in counts.sum(axis=0)), (counts.sum(), counts.shape[1])]:
        wanted = n * shares
        rounded = np.floor(wanted)
        largest = np.argsort(rounded - wanted)[: round(n - rounded.sum())]
        rounded[largest] += 1
        bound += weight * float(np.sum(((rounded - wanted) / n) ** 2))
    return bound


def _vectors(counts: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each group as its share of every class and of all clips, (G, K + 1), and the sums wanted per part."""
    counts = np.asarray(counts, dtype=np.float64)
    scale = np.ones(counts.shape[1] + 1)
    scale[-1] = np.sqrt(counts.shape[1])  # the clips of a part weigh as much as all classes together
    columns = np.column_stack([counts, counts.sum(axis=1)])
    return columns / columns.sum(axis=0) * scale, np.outer(shares, scale)


def _excess(vectors: np.ndarray, targets: np.ndarray, parts: np.ndarray) -> np.ndarray:
    sums = np.zeros_like(targets)
    np.add.at(sums, parts, vectors)
    return sums - targets


def _search(
    vectors: np.ndarray, targets: np.ndarray, free: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """One start: largest groups first, each where it helps most, then moves and swaps until none helps."""
    parts = np.zeros(len(vectors), dtype=np.int64)
    pinned = np.setdiff1d(np.arange(len(vectors)), free)
    excess = _excess(vectors[pinned], targets, parts[pinned])
    size = np.linalg.norm(vectors[free], axis=1) * rng.uniform(0.2, 1.0, len(free))
    for g in free[np.argsort(-size, kind="stable")]:
        cost = np.round(excess @ vectors[g], 9)
        parts[g] = rng.choice(np.flatnonzero(cost == cost.min()))
        excess[parts[g]] += vectors[g]
    state = _State(vectors[free], parts[free], excess)
    while sum(state.improve(g) for g in rng.permutation(len(free))):
        pass
    parts[free] = state.parts
    return float(np.sum(state.excess**2)), parts


@dataclass
class _State:
    """The groups, the part of each, and by how much each part exceeds its target."""

    vectors: np.ndarray
    parts: np.ndarray
    excess: np.ndarray

    def __post_init__(self) -> None:
        self.products = self.vectors @ self.excess.T  # (G, P)
        self.squares = np.sum(self.vectors**2, axis=1)

    def improve(self, g: int) -> bool:
        """Move group g, or swap it with another one, if that lowers the cost; the best such step is taken."""
        moves, swaps = self._move_gains(g), self._swap_gains(g)
        part, other = int(np.argmax(moves)), int(np.argmax(swaps))
        if max(moves[part], swaps[other]) <= MIN_GAIN:
            return False
        if moves[part] >= swaps[other]:
            self._move(g, part)
        else:
            here = int(self.parts[g])
            self._move(g, int(self.parts[other]))
            self._move(other, here)
        return True

    def _move_gains(self, g: int) -> np.ndarray:
        """What moving group g to each part takes off the cost, (P,)."""
        here = self.parts[g]
        gains = 2 * (self.products[g, here] - self.products[g] - self.squares[g])
        gains[here] = 0.0
        return np.round(gains, 9)

    def _swap_gains(self, g: int) -> np.ndarray:
        """What swapping group g with each other one takes off the cost, (G,)."""
        here, there = self.parts[g], self.parts
        mine = self.products[g, here] - self.products[g, there]
        theirs = self.products[:, here] - self.products[np.arange(len(there)), there]
        squares = self.squares[g] + self.squares - 2 * (self.vectors @ self.vectors[g])
        return np.round(np.where(there == here, 0.0, 2 * (mine - theirs - squares)), 9)

    def _move(self, g: int, part: int) -> None:
        here = self.parts[g]
        self.excess[here] -= self.vectors[g]
        self.excess[part] += self.vectors[g]
        self.parts[g] = part
        for p in (here, part):
            self.products[:, p] = self.vectors @ self.excess[p]
