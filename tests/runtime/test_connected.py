from hypothesis import given
from hypothesis import strategies as st

from earmark.runtime.connected import connected_sets


def test_pairs_connect_directly_and_through_others():
    pairs = [("b", "a"), ("c", "d"), ("e", "e"), ("d", "b")]

    assert [sorted(items) for items in connected_sets(pairs)] == [["a", "b", "c", "d"], ["e"]]


def test_sets_are_in_the_order_of_their_first_items():
    assert [sorted(items) for items in connected_sets([(9, 9), (1, 2), (5, 4), (3, 9)])] == [[3, 9], [1, 2], [4, 5]]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_each_item_is_in_one_set_and_no_pair_is_apart(pairs):
    sets = connected_sets(pairs)
    items = [item for one in sets for item in one]
    set_of = {item: index for index, one in enumerate(sets) for item in one}

    assert sorted(items) == sorted({item for pair in pairs for item in pair})
    assert all(set_of[first] == set_of[second] for first, second in pairs)
    distinct = {frozenset(pair) for pair in pairs if pair[0] != pair[1]}
    assert len(sets) >= len(set(items)) - len(distinct)
