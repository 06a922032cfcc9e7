"""In which part of a published table a key is: `pmod(xxhash64(key), parts)`, as Spark computes it when it writes them.

Source: the XXH64 specification (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), with Spark's seed 42.
"""

from __future__ import annotations

from functools import reduce

SEED = 42
_P1, _P2, _P3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
_P4, _P5 = 9650029242287828579, 2870177450012600261
_MASK = 2**64 - 1


def part_of(key: str, parts: int) -> int:
    hashed = _xxh64(key.encode())
    return (hashed - 2**64 if hashed >= 2**63 else hashed) % parts  # Spark's hash is a signed BIGINT


def _xxh64(data: bytes) -> int:
    size, at = len(data), 0
    if size >= 32:
        lanes = [SEED + _P1 + _P2, SEED + _P2, SEED, SEED - _P1]
        while at + 32 <= size:
            lanes = [_round(lane, _word(data, at + 8 * n, 8)) for n, lane in enumerate(lanes)]
            at += 32
        summed = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
        hashed = reduce(lambda acc, lane: (acc ^ _round(0, lane)) * _P1 + _P4 & _MASK, lanes, summed & _MASK)
    else:
        hashed = SEED + _P5
    hashed = hashed + size & _MASK
    while at + 8 <= size:
        hashed = _rotated(hashed ^ _round(0, _word(data, at, 8)), 27) * _P1 + _P4 & _MASK
        at += 8
    if at + 4 <= size:
        hashed = _rotated(hashed ^ _word(data, at, 4) * _P1 & _MASK, 23) * _P2 + _P3 & _MASK
        at += 4
    for byte in data[at:]:
        hashed = _rotated(hashed ^ byte * _P5 & _MASK, 11) * _P1 & _MASK
    hashed = (hashed ^ hashed >> 33) * _P2 & _MASK
    hashed = (hashed ^ hashed >> 29) * _P3 & _MASK
    return hashed ^ hashed >> 32


def _word(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _rotated(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> 64 - by) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * _P2, 31) * _P1 & _MASK
