"""Durations in buckets, and what happened of late."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.server.histogram import BOUNDS, NOTHING, Counts, Histogram, Window


def held(*seconds: float) -> Counts:
    histogram = Histogram()
    for each in seconds:
        histogram.observe(each)
    return histogram.counts()


def test_nothing_has_no_quantiles() -> None:
    assert Histogram().counts() == NOTHING
    assert NOTHING.quantile(0.5) is None


def test_a_bound_is_within_its_bucket() -> None:
    """As Prometheus has it: le."""
    assert held(BOUNDS[0]).buckets[0] == 1
    assert held(BOUNDS[-1] + 1).buckets[-1] == 1


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_quantiles_are_as_near_as_the_buckets(share: float) -> None:
    seed = random.Random(7)
    seconds = [seed.expovariate(1 / 0.02) for _ in range(5_000)]
    exact = sorted(seconds)[int(share * len(seconds))]
    found = held(*seconds).quantile(share)
    assert found is not None
    bucket = next(n for n, bound in enumerate(BOUNDS) if exact <= bound)
    assert (0.0, *BOUNDS)[bucket] <= found <= BOUNDS[bucket]


def test_what_takes_for_ever_counts_as_the_last_bound() -> None:
    assert held(1e9).quantile(0.99) == BOUNDS[-1]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_within_the_bounds(seconds: list[float], share: float) -> None:
    found = held(*seconds).quantile(share)
    assert found is not None
    assert 0 <= found <= BOUNDS[-1]


@given(st.lists(st.floats(0, 50), min_size=1, max_size=50).map(sorted))
def test_waits_that_end_together_are_in_the_buckets_of_each(since: list[float]) -> None:
    """One look where the first and the last are in one bucket, one for each where not."""
    together, apart = Histogram(), Histogram()
    together.observe_waits(since, 50.0)
    for each in since:
        apart.observe(50.0 - each)
    assert together.counts().buckets == apart.counts().buckets


def test_what_came_since() -> None:
    histogram = Histogram()
    histogram.observe(0.01)
    before = histogram.counts()
    histogram.observe(1.5, times=3)
    news = histogram.counts().since(before)
    assert news.count == 3
    assert news.total == pytest.approx(4.5)


def test_rates_are_of_the_window() -> None:
    window = Window(10, every=1)
    for second in range(100):
        window.add(second, (second * 5 if second < 50 else 250 + (second - 50) * 2,), ())
    assert window.rates(99, (348,)) == pytest.approx((2.0,))


def test_a_window_that_is_young_tells_of_what_there_is() -> None:
    window = Window(10, every=1)
    assert window.rates(5, (3,)) == (0.0,)
    window.add(100, (0,), ())
    assert window.rates(100, (3,)) == (0.0,)
    assert window.rates(102, (3,)) == (1.5,)


def test_a_window_keeps_as_many_samples_as_it_needs() -> None:
    window = Window(60, every=5)
    for tenth in range(100_000):
        window.add(tenth / 10, (tenth,), (NOTHING,))
    assert len(window._samples) <= 60 / 5 + 2


def test_quantiles_of_late() -> None:
    window, histogram = Window(60, every=5), Histogram()
    histogram.observe(20, times=1_000)
    window.add(0, (), (histogram.counts(),))
    window.add(50, (), (histogram.counts(),))
    histogram.observe(0.001, times=10)
    window.add(100, (), (histogram.counts(),))
    (recent,) = window.recent((histogram.counts(),))
    assert recent.count == 10
