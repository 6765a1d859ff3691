"""Which events lie in these bytes? Server-sent events, however the network cut them up.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations


class EventReader:
    """Takes bytes as they come, gives the `data` of each event once its end has arrived."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of a line whose end has not come yet
        self._data: list[bytes] = []  # `data` lines of the event that has not ended yet
        self._after_cr = False  # a "\n" that comes next belongs to the "\r" before it
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes."""
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._line:
                lines[0] = b"".join((*self._line, lines[0]))
                self._line.clear()
            if self._at_start:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
                self._at_start = False
        if rest:
            self._line.append(rest)
        return self._take(lines)

    def end(self) -> list[bytes]:
        """The event that the stream ended in, for servers that leave out the last blank line."""
        rest = b"".join(self._line)
        self._line.clear()
        return self._take([rest.removeprefix(b"\xef\xbb\xbf") if self._at_start else rest, b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line.startswith(b"data"):
                if line.startswith(b"data: "):
                    self._data.append(line[6:])
                elif line.startswith(b"data:"):
                    self._data.append(line[5:])
                elif line == b"data":
                    self._data.append(b"")
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        return events
