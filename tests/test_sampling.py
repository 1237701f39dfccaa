"""Bottom-k samples: laws of the merge, and fairness."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sampling import BottomK, bottom_k, hash_id, merge, window_key

KEY = b"0123456789abcdef"
ids = st.lists(st.text(max_size=4).filter(lambda text: text.isprintable()), max_size=30)
sizes = st.integers(min_value=1, max_value=8)


@given(ids, ids, sizes)
def test_merging_two_samples_is_sampling_both_streams(left, right, size):
    merged = merge(bottom_k(left, key=KEY, size=size), bottom_k(right, key=KEY, size=size))
    assert merged == bottom_k(left + right, key=KEY, size=size)


@given(ids, ids, ids, sizes)
def test_merge_is_associative_commutative_and_idempotent_with_a_zero(a, b, c, size):
    x, y, z = (bottom_k(part, key=KEY, size=size) for part in (a, b, c))
    assert merge(merge(x, y), z) == merge(x, merge(y, z))
    assert merge(x, y) == merge(y, x)
    assert merge(x, x) == x
    assert merge(x, BottomK(size=size)) == x


@given(ids, sizes)
def test_a_sample_is_bounded_distinct_and_the_same_in_any_order(stream, size):
    sample = bottom_k(stream, key=KEY, size=size)
    assert len(sample.entries) == min(size, len(set(stream)))
    assert sample.ids <= set(stream)
    assert sample == bottom_k(reversed(stream), key=KEY, size=size)


def test_every_position_of_the_stream_is_kept_equally_often():
    windows, requests, size = 400, 100, 20
    stream = [f"request-{number}" for number in range(requests)]
    kept: Counter[str] = Counter()
    for index in range(windows):
        kept.update(bottom_k(stream, key=window_key(KEY, index), size=size).ids)
    share = size / requests
    # 4.5 standard deviations of the binomial: less than one run in a thousand strays, over 100 positions.
    slack = 4.5 * math.sqrt(windows * share * (1 - share))
    assert all(abs(kept[name] - windows * share) <= slack for name in stream)
    # And the 100 counts scatter as a binomial does (chi-square with 99 degrees of freedom, 4 sd).
    scatter = sum((kept[name] - windows * share) ** 2 / (windows * share * (1 - share)) for name in stream)
    assert abs(scatter - 99) <= 4 * math.sqrt(2 * 99)


def test_the_hash_fills_64_bits_evenly_and_depends_on_the_key():
    hashes = [hash_id(str(number), KEY) for number in range(4096)]
    assert all(0 <= value < 2**64 for value in hashes)
    for bit in range(64):
        ones = sum(value >> bit & 1 for value in hashes)
        assert abs(ones - 2048) <= 4.5 * math.sqrt(1024)
    assert hash_id("1", KEY) != hash_id("1", window_key(KEY, 0)) != hash_id("1", window_key(KEY, 1))


def test_samples_of_different_sizes_do_not_merge():
    with pytest.raises(ValueError) as caught:
        merge(BottomK(size=2), BottomK(size=3))
    assert str(caught.value) == "left.size (=2) must equal right.size (=3)"
    with pytest.raises(ValueError) as caught:
        BottomK(size=1, entries=((1, "a"), (2, "b")))
    assert str(caught.value) == "entries (=2) must be at most size (=1)"
