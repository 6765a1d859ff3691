"""SHA-256: of a file while it is written, of one on disk, of bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO


class HashedFile:
    """A binary file for Arrow to write, hashed on its way: what is meant, whatever a disk keeps."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._failed = False
        self.closed = False
        self.bytes = 0

    def write(self, data: bytes) -> int:
        """Pass bytes on."""
        if self._failed:
            return len(data)  # Arrow tries again when it lets go; who wrote knows of it already
        try:
            self._file.write(data)
        except BaseException:
            self._failed = True
            raise
        self._sha256.update(data)
        self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes so far."""
        return self.bytes

    def flush(self) -> None:
        """The context that opened the file does it."""

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    def seekable(self) -> bool:
        """It is not: what has passed has been hashed."""
        return False

    def close(self) -> None:
        """Nothing more will be written; the file itself stays open."""
        self.closed = True

    def hexdigest(self) -> str:
        """SHA-256 of what has passed."""
        return self._sha256.hexdigest()


def sha256_over(data: bytes) -> str:
    """SHA-256 of bytes, as hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
