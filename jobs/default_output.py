"""Where do answers go when nobody says?"""

from __future__ import annotations

import tempfile
from pathlib import Path


def default_output(dataset: str, *, rehearse: bool) -> str:
    """The name of a run over `dataset`, in the current folder; of a rehearsal, a throw-away one."""
    if rehearse:
        # A rehearsal can be thrown away, so it does not take the real run's name.
        return tempfile.mkdtemp(prefix="penstock-rehearsal-") + "/run"
    path = Path(dataset.rstrip("/"))
    ending = path.suffix if path.suffix in {".csv", ".jsonl"} else ".parquet"
    stem = path.stem if path.suffix else path.name
    if any(character in stem for character in "*?["):
        stem = "dataset"
    return f"{stem}.answers{ending}"
