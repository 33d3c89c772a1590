"""Divide groups into subsets so that every subset has its fraction of the clips and of every class.

Groups are indivisible, so this is a vector partition problem. It is solved by a greedy start and a local
search over moves and swaps, from several random starts: on small cases that is the exhaustive optimum
(tests/splits/test_stratify.py). In large problems the search refines a random sample of the groups, so that time
grows with the number of groups, not with its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STARTS = 100
"""Random starts at most; fewer when one of them cannot be beaten."""
START_BUDGET = 4000
"""Starts times groups: larger problems get fewer starts, at least one."""
MAX_REFINED = 2000
"""Groups that the local search moves and swaps; the others stay where the greedy start put them."""
MIN_GAIN = 1e-9
"""A smaller gain is rounding error, and could make the search cycle."""


def balanced_subsets(
    counts: np.ndarray, fractions: np.ndarray, seed: int, pinned: np.ndarray | None = None
) -> np.ndarray:
    """Give each group a subset, with a cost as low as a search from several starts can make it.

    The cost is the squared errors of the class fractions of the subsets plus, equally weighted, those of their clip
    fractions.

    Args:
        counts: clips of each group in each class, (G, K); every class has at least one clip.
        fractions: wanted fraction of each subset, (S,), summing to 1.
        seed: of the random starts; equal seeds give equal results.
        pinned: groups that must stay in subset 0, (G,) bool.

    Returns:
        The subset of each group, (G,) int.
    """
    rng = np.random.default_rng(seed)
    vectors, targets = _vectors(counts, fractions)
    free = np.arange(len(counts)) if pinned is None else np.flatnonzero(~pinned)
    enough = _lower_bound(counts, fractions) + MIN_GAIN
    best_cost, best = np.inf, np.zeros(0)
    for _ in range(int(np.clip(START_BUDGET // max(len(free), 1), 1, STARTS))):
        cost, subsets = _search(vectors, targets, free, rng)
        if cost < best_cost - MIN_GAIN:
            best_cost, best = cost, subsets
        if best_cost <= enough:
            break
    return best


def _lower_bound(counts: np.ndarray, fractions: np.ndarray) -> float:
    """The cost if clips, not groups, could be divided: each class by itself rounded to whole clips."""
    bound = 0.0
    for n, weight in [*((n, 1) for n in counts.sum(axis=0)), (counts.sum(), counts.shape[1])]:
        wanted = n * fractions
        rounded = np.floor(wanted)
        largest = np.argsort(rounded - wanted)[: round(n - rounded.sum())]
        rounded[largest] += 1
        bound += weight * float(np.sum(((rounded - wanted) / n) ** 2))
    return bound


def _vectors(counts: np.ndarray, fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each group as its fraction of every class and of all clips, (G, K + 1), and the sums wanted per subset."""
    counts = np.asarray(counts, dtype=np.float64)
    scale = np.ones(counts.shape[1] + 1)
    scale[-1] = np.sqrt(counts.shape[1])  # the clips of a subset weigh as much as all classes
    columns = np.column_stack([counts, counts.sum(axis=1)])
    return columns / columns.sum(axis=0) * scale, np.outer(fractions, scale)


def _excess(vectors: np.ndarray, targets: np.ndarray, subsets: np.ndarray) -> np.ndarray:
    sums = np.zeros_like(targets)
    np.add.at(sums, subsets, vectors)
    return sums - targets


def _search(
    vectors: np.ndarray, targets: np.ndarray, free: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """One start: assign the largest groups first, each where it helps most, then move and swap until nothing helps."""
    subsets = np.zeros(len(vectors), dtype=np.int64)
    pinned = np.setdiff1d(np.arange(len(vectors)), free)
    excess = _excess(vectors[pinned], targets, subsets[pinned])
    size = np.linalg.norm(vectors[free], axis=1) * rng.uniform(0.2, 1.0, len(free))
    for g in free[np.argsort(-size, kind="stable")]:
        cost = np.round(excess @ vectors[g], 9)
        subsets[g] = rng.choice(np.flatnonzero(cost == cost.min()))
        excess[subsets[g]] += vectors[g]
    refined = free if len(free) <= MAX_REFINED else rng.choice(free, MAX_REFINED, replace=False)
    state = _State(vectors[refined], subsets[refined], excess)
    while sum(state.improve(g) for g in rng.permutation(len(refined))):
        pass
    subsets[refined] = state.subsets
    return float(np.sum(state.excess**2)), subsets


@dataclass
class _State:
    """The groups, the subset of each, and by how much each subset exceeds its target."""

    vectors: np.ndarray
    subsets: np.ndarray
    excess: np.ndarray

    def __post_init__(self) -> None:
        self.products = self.vectors @ self.excess.T  # (G, S)
        self.squares = np.sum(self.vectors**2, axis=1)

    def improve(self, g: int) -> bool:
        """Move group g, or swap it with another one, if that lowers the cost; the best such step is taken."""
        moves, swaps = self._move_gains(g), self._swap_gains(g)
        subset, other = int(np.argmax(moves)), int(np.argmax(swaps))
        if max(moves[subset], swaps[other]) <= MIN_GAIN:
            return False
        if moves[subset] >= swaps[other]:
            self._move(g, subset)
        else:
            here = int(self.subsets[g])
            self._move(g, int(self.subsets[other]))
            self._move(other, here)
        return True

    def _move_gains(self, g: int) -> np.ndarray:
        """By how much moving group g to each subset lowers the cost, (S,)."""
        here = self.subsets[g]
        gains = 2 * (self.products[g, here] - self.products[g] - self.squares[g])
        gains[here] = 0.0
        return np.round(gains, 9)

    def _swap_gains(self, g: int) -> np.ndarray:
        """By how much swapping group g with each other one lowers the cost, (G,)."""
        here, there = self.subsets[g], self.subsets
        mine = self.products[g, here] - self.products[g, there]
        theirs = self.products[:, here] - self.products[np.arange(len(there)), there]
        squares = self.squares[g] + self.squares - 2 * (self.vectors @ self.vectors[g])
        return np.round(np.where(there == here, 0.0, 2 * (mine - theirs - squares)), 9)

    def _move(self, g: int, subset: int) -> None:
        here = self.subsets[g]
        self.excess[here] -= self.vectors[g]
        self.excess[subset] += self.vectors[g]
        self.subsets[g] = subset
        for s in (here, subset):
            self.products[:, s] = self.vectors @ self.excess[s]
