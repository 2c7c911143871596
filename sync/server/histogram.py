"""Durations in fixed buckets, what happened of late, and how fast."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

BOUNDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
)
"""Upper ends of the buckets, in seconds; what took longer is in one more."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a histogram held at one moment; ``buckets`` has one more than BOUNDS."""

    buckets: tuple[int, ...]
    total: float  # seconds of all together

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def since(self, earlier: Counts) -> Counts:
        """What came behind an earlier moment."""
        news = tuple(now - then for now, then in zip(self.buckets, earlier.buckets, strict=True))
        return Counts(news, self.total - earlier.total)

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of all took at most, as near as the buckets tell; None of none.

        What is beyond the last bound counts as that.
        """
        wanted, passed, low = share * self.count, 0, 0.0
        for high, count in zip((*BOUNDS, BOUNDS[-1]), self.buckets, strict=True):
            if count and passed + count >= wanted:
                return low + (high - low) * (wanted - passed) / count
            passed, low = passed + count, high
        return None


NOTHING = Counts((0,) * (len(BOUNDS) + 1), 0.0)


class Histogram:
    """How long something took, each time."""

    __slots__ = ("_buckets", "_total")

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """It took so long, so many times over."""
        self._buckets[bisect_left(BOUNDS, seconds)] += times
        self._total += seconds * times

    def observe_waits(self, since: Sequence[float], now: float) -> None:
        """All that waited since these moments, in order, has ended now: one look where few do."""
        first, last = now - since[0], now - since[-1]
        if bisect_left(BOUNDS, first) == bisect_left(BOUNDS, last):
            self.observe((first + last) / 2, len(since))
        else:
            for each in since:
                self.observe(now - each)

    def counts(self) -> Counts:
        """What it holds now."""
        return Counts(tuple(self._buckets), self._total)


class Window:
    """Samples of the last so many seconds, one every ``every`` seconds at most."""

    def __init__(self, seconds: float, every: float) -> None:
        self._seconds = seconds
        self._every = every
        self._samples: deque[tuple[float, tuple[int, ...], tuple[Counts, ...]]] = deque()

    def add(self, now: float, counters: tuple[int, ...], histograms: tuple[Counts, ...]) -> None:
        """Note what counters and histograms say now; of one of each more often than that, none."""
        samples = self._samples
        if samples and now - samples[-1][0] < self._every:
            return
        samples.append((now, counters, histograms))
        while len(samples) > 1 and samples[1][0] <= now - self._seconds:
            samples.popleft()

    def rates(self, now: float, counters: tuple[int, ...]) -> tuple[float, ...]:
        """How much the counters grew a second, over the window or since it began."""
        if not self._samples or now <= self._samples[0][0]:
            return (0.0,) * len(counters)
        then, earlier, _ = self._samples[0]
        return tuple((a - b) / (now - then) for a, b in zip(counters, earlier, strict=True))

    def recent(self, histograms: tuple[Counts, ...]) -> tuple[Counts, ...]:
        """What came into the histograms within the window."""
        if not self._samples:
            return histograms
        earlier = self._samples[0][2]
        return tuple(now.since(then) for now, then in zip(histograms, earlier, strict=True))
