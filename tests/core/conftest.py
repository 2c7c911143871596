"""Hypothesis measures no time here: a busy machine is no finding."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
