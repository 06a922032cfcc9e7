"""Places a list, user by user: which of a pool stands where, and why it is not the next best by score.

Integers only; a tie goes to who stands higher in the pool. At each place: the item that is pinned to it; else the best
by value, out of the new items while their share is due (here, or at pinned places that follow), and of those the first
that diversity lets stand here. Where new items and the window rule cannot both be had, the window rule holds.
"""

from __future__ import annotations

import numpy as np

from jobs.recall.compiled import compiled

FRESHNESS, NEW_ITEMS, DIVERSITY, PINNED = 1, 2, 4, 8  # bits of `moves`
NONE, MMR, WINDOW = 0, 1, 2
UNIT = 1_000_000  # the weight 1 of MMR
SCALE = 1_000_000_000  # a value of 1


@compiled()
def placed(starts, rank, score, gain, kind, is_new, pin, pool, top_n, due, method, window, most, weight):  # noqa: PLR0913
    """(row, moves) of each place, and how many places each user has; both in user order, one list after the other.

    starts: where each user's rows begin, by rank; gain: what freshness adds; kind: -1 where unknown; pin: the place of
    a pinned row, else 0; due: new items wanted in the first k places; weight: of MMR in millionths.
    """
    users = len(starts) - 1
    row, moves = np.empty(users * top_n, np.int64), np.zeros(users * top_n, np.int64)
    length = np.zeros(users, np.int64)
    total = 0
    for user in range(users):
        low, high = starts[user], starts[user + 1]
        keep = np.flatnonzero((rank[low:high] <= pool) | (pin[low:high] > 0)) + low
        relevance = _relevance(score[keep], rank[keep], pool)
        value = relevance + gain[keep]
        mine, why = np.empty(0, np.int64), np.empty(0, np.int64)
        for ahead in (False, True, False):  # what cannot be kept by looking ahead is broken as late as can be
            mine, why, holds = _list(
                value, _local(kind[keep]), is_new[keep], pin[keep], top_n, due, method, window, most, weight, ahead
            )
            if holds:
                break
        length[user] = len(mine)
        row[total : total + len(mine)], moves[total : total + len(mine)] = keep[mine], why
        total += len(mine)
    return row[:total], moves[:total], length


@compiled()
def _relevance(score, rank, pool):
    """Scores from 0, the worst of the pool, to SCALE, the best."""
    least, most = np.inf, -np.inf
    for n in range(len(score)):
        if rank[n] <= pool:
            least, most = min(least, score[n]), max(most, score[n])
    found = np.zeros(len(score), np.int64)
    if most > least:
        for n in range(len(score)):
            found[n] = np.int64(np.rint((max(score[n], least) - least) / (most - least) * SCALE))
    return found


@compiled()
def _local(kind):
    """Kinds numbered from 0 in the order in which they occur."""
    found = np.full(len(kind), -1, np.int64)
    number = 0
    for n in range(len(kind)):
        if kind[n] >= 0:
            for before in range(n):
                if kind[before] == kind[n]:
                    found[n] = found[before]
                    break
            else:
                found[n] = number
                number += 1
    return found


@compiled()
def _list(value, kind, is_new, pin, top_n, due, method, window, most, weight, ahead):  # noqa: PLR0913
    """(chosen, why, holds): ahead: only what lets the rest keep the window rule; holds: is it kept so far?"""
    places = min(top_n, len(value))
    chosen, why = np.empty(places, np.int64), np.zeros(places, np.int64)
    pinned = _pinned(pin, places)
    at, is_pin = np.full(places, -1, np.int64), pinned >= 0
    for place in np.flatnonzero(is_pin):
        at[place] = kind[pinned[place]]
    is_used = np.zeros(len(value), np.bool_)
    new, holds = 0, True
    for place in range(places):
        best = pinned[place]
        if best >= 0:
            why[place] = PINNED
        else:
            by_score, by_value, best_new = _best(value, kind, is_new, pin, is_used)
            wants_new = best_new >= 0 and _wants_new(new, due, is_new, pinned, place)
            wanted = best_new if wants_new else by_value
            best = wanted
            if method == MMR:
                best = _least_alike(value, kind, is_new, pin, is_used, at, place, wants_new, window, weight)
            elif method == WINDOW:
                best = -1
                for only_new in (True, False):
                    if best < 0 and (wants_new or not only_new):
                        best = _apart(
                            value, kind, is_new, pin, is_used, at, is_pin, place, only_new, window, most, ahead
                        )
                if best < 0:
                    best, holds = wanted, False
            why[place] += (
                FRESHNESS * (by_score != by_value)
                + NEW_ITEMS * (by_value != wanted and is_new[best])  # else the window rule forbids every new one
                + DIVERSITY * (best != wanted)
            )
            if best == by_score:
                why[place] = 0
        chosen[place], is_used[best], at[place] = best, True, kind[best]
        new += is_new[best]
    return chosen, why, holds or method != WINDOW


@compiled()
def _pinned(pin, places):
    """The row that is pinned to each place, -1 for none: as near behind the wanted place as others leave, or before the
    list ends. Where there are more of them than places, those that want the first ones."""
    found = np.full(places, -1, np.int64)
    rows = np.flatnonzero(pin > 0)
    rows = rows[np.argsort(pin[rows], kind="mergesort")][:places]
    place = -1
    for number in range(len(rows)):
        place = min(max(pin[rows[number]] - 1, place + 1), places - (len(rows) - number))
        found[place] = rows[number]
    return found


@compiled()
def _wants_new(new, due, is_new, pinned, place):
    """Is a new item due here, or would a later place lack one, as pinned items leave too few places before it?"""
    could, total = new, np.sum(is_new)
    for after in range(place, len(pinned)):
        if after > place and (pinned[after] < 0 or is_new[pinned[after]]):
            could += 1
        if could < min(due[after], total):
            return True
    return False


@compiled()
def _best(value, kind, is_new, pin, is_used):
    """The next by score, by value, and the next new one by value."""
    by_score, by_value, new = -1, -1, -1
    for n in range(len(value)):
        if not is_used[n] and pin[n] == 0:
            if by_score < 0:
                by_score = n
            if by_value < 0 or value[n] > value[by_value]:
                by_value = n
            if is_new[n] and (new < 0 or value[n] > value[new]):
                new = n
    return by_score, by_value, new


@compiled()
def _least_alike(value, kind, is_new, pin, is_used, at, place, only_new, window, weight):  # noqa: PLR0913
    """(1 - weight) * value - weight * (is one of its kind among the last window - 1?), the greatest."""
    best, best_key = -1, 0
    for n in range(len(value)):
        if is_used[n] or pin[n] > 0 or (only_new and not is_new[n]):
            continue
        is_alike = False
        for before in range(max(0, place - window + 1), place):
            is_alike |= kind[n] >= 0 and at[before] == kind[n]
        key = (UNIT - weight) * value[n] - (weight * SCALE if is_alike else 0)
        if best < 0 or key > best_key:
            best, best_key = n, key
    return best


@compiled()
def _apart(value, kind, is_new, pin, is_used, at, is_pin, place, only_new, window, most, ahead):  # noqa: PLR0913
    """The best row that no window around this place has `most` of already; -1 where there is none."""
    known = np.zeros(len(value) + 1, np.int64)  # of each kind: 0 not looked at, 1 may stand here, 2 may not
    best = -1
    for n in range(len(value)):
        if is_used[n] or pin[n] > 0 or (only_new and not is_new[n]) or (best >= 0 and value[n] <= value[best]):
            continue
        if known[kind[n]] == 0:
            fits = _fits(kind[n], place, at, window, most)
            if fits and ahead:
                fits = _completes(kind, pin, is_used, at, is_pin, place, n, window, most)
            known[kind[n]] = 1 if fits else 2
        if known[kind[n]] == 1:
            best = n
    return best


@compiled()
def _fits(kind, place, at, window, most):
    """May one of a kind stand here, next to those that are placed and pinned?"""
    if kind < 0:
        return True
    first = max(0, place - window + 1)
    count = 0
    for n in range(first, min(first + window, len(at))):
        count += n != place and at[n] == kind
    if count >= most:
        return False
    for start in range(first + 1, place + 1):
        count -= at[start - 1] == kind
        end = start + window - 1
        count += end < len(at) and end != place and at[end] == kind
        if count >= most:
            return False
    return True


@compiled()
def _completes(kind, pin, is_used, at, is_pin, place, row, window, most):  # noqa: PLR0913
    """With this row here, can the places after it be filled by the rule? Tried with the most numerous kind first."""
    at, left, unknown = at.copy(), np.zeros(len(kind), np.int64), 0
    for n in range(len(kind)):
        if not is_used[n] and pin[n] == 0 and n != row:
            if kind[n] < 0:
                unknown += 1
            else:
                left[kind[n]] += 1
    at[place] = kind[row]
    for after in range(place + 1, len(at)):
        if is_pin[after]:
            continue
        best = -1
        for n in range(len(left)):
            if left[n] > 0 and (best < 0 or left[n] > left[best]) and _fits(n, after, at, window, most):
                best = n
        if best >= 0:
            at[after] = best
            left[best] -= 1
        elif unknown > 0:
            unknown -= 1
        else:
            return False
    return True
