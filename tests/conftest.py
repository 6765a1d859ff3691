"""Property tests draw the same examples each time, and a busy machine fails none of them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("penstock", deadline=None, derandomize=True)
settings.load_profile("penstock")
