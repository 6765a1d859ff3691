"""A disk that takes as long as a test wants."""

from __future__ import annotations

import threading


class SlowDisk:
    """In place of `os.fsync`: each call tells that it has `begun`, and waits until it `may_end`."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, handle: int) -> None:
        del handle
        self.begun.set()
        self.may_end.wait()
