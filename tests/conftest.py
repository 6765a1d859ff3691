"""Property tests draw the same examples each time, and a busy machine fails none of them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("penstock", deadline=None, derandomize=True)
# `pytest --hypothesis-profile=soak`, as `make soak` does for the tests of hostile data
settings.register_profile("soak", deadline=None, max_examples=3000)
settings.load_profile("penstock")
