"""What pairs connect, directly or through others."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def connected_sets(pairs: Iterable[tuple[Item, Item]]) -> list[list[Item]]:
    """The sets of items that pairs connect, in the order in which the pairs name the first item of each.

    The smaller set joins the larger one, so that n pairs cost O(n log n) steps. An item paired with itself is a set.
    """
    set_of: dict[Item, list[Item]] = {}
    for first, second in pairs:
        one, other = (set_of.setdefault(item, [item]) for item in (first, second))
        if one is not other:
            small, large = sorted((one, other), key=len)
            large += small
            set_of |= dict.fromkeys(small, large)
    return list({id(items): items for items in set_of.values()}.values())
