"""What all tests share: property tests' settings, and the runs that faults are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from processes import Server, simulator
from trials import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Property tests draw the same examples each time, and a busy machine fails none of them.

settings.register_profile("penstock", deadline=None, derandomize=True)
# `pytest --hypothesis-profile=soak`, as `make soak` does for the tests of hostile data
settings.register_profile("soak", deadline=None, max_examples=3000)
settings.load_profile("penstock")


@pytest.fixture(scope="module")
def trial_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("server")
    with simulator("--latency", "0.01:0.03", cwd=place) as one:
        yield one


@pytest.fixture
def trial(tmp_path: Path, trial_server: Server) -> Trial:
    return Trial(tmp_path, trial_server)
