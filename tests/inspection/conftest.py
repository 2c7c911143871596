"""Hypothesis measures no time here, and finds the same examples in every run."""

from hypothesis import settings

settings.register_profile("inspection", deadline=None, derandomize=True)
