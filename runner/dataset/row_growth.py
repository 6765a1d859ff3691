"""How much larger than its first rows do the rows of a dataset become?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.dataset.batches import MAX_ROWS
from runner.dataset.sources import told
from runner.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.dataset.sources import Source

_WINDOWS = 32
_WINDOW_BYTES = 1 << 18


def growth(sizes: Sequence[float]) -> float:
    """The mean of the dearest tenth over the first one, at least 1; `sizes` in order of rows."""
    if not sizes:
        return 1.0
    dearest = sorted(sizes)[-max(1, len(sizes) // 10) :]
    return max(1.0, sum(dearest) / len(dearest) / max(1.0, sizes[0]))


def bytes_per_line(sources: Sequence[Source]) -> list[float]:
    """Of windows spread evenly over the plain files, the first one at the beginning.

    Compressed files have to be read to get anywhere inside and tell nothing. A row may be several
    lines, so that only what the figures have to each other means anything. Raises DatasetError.
    """
    if any(source.compression is not None for source in sources):
        return []
    total = sum(source.size for source in sources)
    step = max(_WINDOW_BYTES, total // _WINDOWS)
    found: list[float] = []
    start = 0  # of the source, in bytes before it
    for source in sources:
        with told(source, DatasetError), Path(source.path).open("rb") as file:
            while len(found) * step < start + source.size:
                file.seek(max(0, len(found) * step - start))
                window = file.read(_WINDOW_BYTES)
                if not found:
                    window = _first_batch(window)
                found.append(len(window) / max(1, window.count(b"\n")))
        start += source.size
    return found


def _first_batch(window: bytes) -> bytes:
    """No more than the batch that the others are compared with: larger rows may follow soon."""
    lines = window.split(b"\n", MAX_ROWS)
    return window[: len(window) - len(lines[-1])] if len(lines) > MAX_ROWS else window
