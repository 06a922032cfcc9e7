"""A stream of bytes in one encoding as a stream of UTF-8."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO


class Transcoded(io.RawIOBase):
    """What cannot be decoded becomes U+FFFD, so that a reader can name the value instead of failing on the file."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._source, self._decoder = source, codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._ready:
            raw = self._source.read(1 << 20)
            self._ready = self._decoder.decode(raw, final=not raw).encode()
            if not raw:
                break
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n
