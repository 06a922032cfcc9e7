"""The inner loops of the collaborative recalls, compiled by numba. Free of Spark.

Users x items come in CSR form: user u has the items `codes[ends[u]:ends[u + 1]]`, each once, ascending. Sums are of
int64, or of float64 in the order of users, so the same input gives the same bits.
"""

from __future__ import annotations

import numpy as np

from jobs.recall.compiled import compiled

COSINE, ASYMCOSINE, JACCARD = range(3)
_SMALL = 16  # below this a part is sorted by insertion


@compiled()
def by_item(codes, ends, n_items):
    """The same pairs by item: the users[item_ends[i]:item_ends[i + 1]] ascend; and where each pair came from."""
    item_ends = np.zeros(n_items + 1, np.int64)
    for code in codes:
        item_ends[code + 1] += 1
    item_ends = np.cumsum(item_ends)
    place = item_ends[:-1].copy()
    users, origin = np.empty(len(codes), np.int32), np.empty(len(codes), np.int64)
    for user in range(len(ends) - 1):
        for p in range(ends[user], ends[user + 1]):
            users[place[codes[p]]] = user
            origin[place[codes[p]]] = p
            place[codes[p]] += 1
    return item_ends, users, origin


@compiled()
def products(start, end, item_ends, users, factors, codes, ends, values, n_items, cells):
    """Rows start:end of the items x items product, in CSR form: ends, items (unordered), sums.

    A user adds factor * value to each pair of items; `factors` go with the pairs by item, `values` with the pairs by
    user, and no values are ones. All are above 0. cells: at least the number of items that share a user, summed up.
    """
    row_ends = np.zeros(end - start + 1, np.int64)
    found, sums = np.empty(cells, np.int32), np.empty(cells, np.int64)
    total = np.zeros(n_items, np.int64)
    n = 0
    for item in range(start, end):
        first = n
        for p in range(item_ends[item], item_ends[item + 1]):
            factor = factors[p]
            for q in range(ends[users[p]], ends[users[p] + 1]):
                other = codes[q]
                if total[other] == 0 and other != item:
                    found[n] = other
                    n += 1
                total[other] += factor * values[q] if len(values) else factor
        total[item] = 0
        for k in range(first, n):
            sums[k] = total[found[k]]
            total[found[k]] = 0
        row_ends[item - start + 1] = n
    return row_ends, found[:n], sums[:n]


@compiled()
def most_similar(kind, start, row_ends, items, sums, left, right, scale, power, top_n):
    """The top_n items of each row by score descending, then code: how many a row, codes, scores.

    left, right: what the items' norms are made of, as a trigger and as the other item; scale: of the sums.
    """
    lengths = np.minimum(np.diff(row_ends), top_n)
    codes, scores = np.empty(lengths.sum(), np.int32), np.empty(lengths.sum(), np.float64)
    widest = np.diff(row_ends).max() if len(lengths) else 0
    code, score = np.empty(widest, np.int32), np.empty(widest, np.float64)
    n = 0
    for row in range(len(lengths)):
        size = row_ends[row + 1] - row_ends[row]
        for k in range(size):
            other, common = items[row_ends[row] + k], sums[row_ends[row] + k]
            if kind == COSINE:
                value = common / np.sqrt(left[start + row] * right[other]) / scale
            elif kind == ASYMCOSINE:
                value = common / (left[start + row] * right[other])
            else:
                value = common / (left[start + row] + right[other] - common)
            code[k], score[k] = other, value if power == 1 else value**power
        best_first(score[:size], code[:size], top_n)
        codes[n : n + lengths[row]] = code[: lengths[row]]
        scores[n : n + lengths[row]] = score[: lengths[row]]
        n += lengths[row]
    return lengths, codes, scores


@compiled()
def _is_before(score, code, a, b):
    return score[a] > score[b] or (score[a] == score[b] and code[a] < code[b])


@compiled()
def _swap(score, code, a, b):
    score[a], score[b] = score[b], score[a]
    code[a], code[b] = code[b], code[a]


@compiled()
def best_first(score, code, n):
    """Put the n best to the front in order, by score descending, then code: a quicksort of the parts that reach there.

    Codes are distinct, so there are no ties.
    """
    starts, ends = np.empty(128, np.int64), np.empty(128, np.int64)
    starts[0], ends[0], waiting = 0, len(score), 1
    while waiting:
        waiting -= 1
        low, high = starts[waiting], ends[waiting]
        while high - low > _SMALL and low < n:
            middle, last = (low + high) // 2, high - 1
            if _is_before(score, code, middle, low):
                _swap(score, code, middle, low)
            if _is_before(score, code, last, low):
                _swap(score, code, last, low)
            if _is_before(score, code, middle, last):
                _swap(score, code, middle, last)  # the median of three is last
            place = low
            for k in range(low, last):
                if _is_before(score, code, k, last):
                    _swap(score, code, k, place)
                    place += 1
            _swap(score, code, place, last)
            if place - low < high - place - 1:  # the larger part waits
                starts[waiting], ends[waiting] = place + 1, high
                high = place
            else:
                starts[waiting], ends[waiting] = low, place
                low = place + 1
            waiting += 1
        if low < n:
            for k in range(low + 1, high):
                j = k
                while j > low and _is_before(score, code, j, j - 1):
                    _swap(score, code, j, j - 1)
                    j -= 1


@compiled()
def mixed(number):
    """The finalizer of splitmix64: every bit of the number moves every bit of the result."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@compiled()
def hash_of_strings(offsets, data):
    """FNV-1a of the bytes data[offsets[k]:offsets[k + 1]], mixed: the same on any machine and in any version."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for k in range(len(hashes)):
        number = np.uint64(0xCBF29CE484222325)
        for p in range(offsets[k], offsets[k + 1]):
            number = (number ^ np.uint64(data[p])) * np.uint64(0x100000001B3)
        hashes[k] = mixed(number)
    return hashes


@compiled()
def hash_of_pairs(seed, user_hash, item_hash, codes, ends):
    """A hash of (seed, user, item) for each pair: for sampling that repeats."""
    hashes = np.empty(len(codes), np.uint64)
    start = mixed(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    for user in range(len(ends) - 1):
        for p in range(ends[user], ends[user + 1]):
            hashes[p] = mixed(mixed(start ^ user_hash[user]) ^ item_hash[codes[p]])
    return hashes


@compiled()
def swings(start, end, item_ends, users, codes, ends, user_weight, alpha2, min_common, n_items, top_n):
    """Swing of the trigger items start:end: how many similar items each, codes, scores.

    Of an item's users, those who acted on another item too are listed under that item, as numbers among the former.
    Two passes over the pairs within each list: the first counts what each pair of users has in common, the second sums
    their weights, always in the order of the users.
    """
    lengths = np.zeros(end - start, np.int64)
    codes_out = np.empty((end - start) * min(top_n, n_items), np.int32)
    scores_out = np.empty(len(codes_out), np.float64)
    listed, touched = np.zeros(n_items, np.int64), np.empty(n_items, np.int32)
    code, score, n = np.empty(n_items, np.int32), np.empty(n_items, np.float64), 0
    for item in range(start, end):
        mine = users[item_ends[item] : item_ends[item + 1]]
        found = 0
        for user in mine:
            for p in range(ends[user], ends[user + 1]):
                if listed[codes[p]] == 0:
                    touched[found] = codes[p]
                    found += 1
                listed[codes[p]] += 1
        bounds = np.zeros(found + 1, np.int64)
        for k in range(found):
            bounds[k + 1] = bounds[k] + listed[touched[k]]
            listed[touched[k]] = bounds[k]  # from here on the place of the list's next entry
        lists = np.empty(bounds[found], np.int32)
        for number in range(len(mine)):
            for p in range(ends[mine[number]], ends[mine[number] + 1]):
                lists[listed[codes[p]]] = number
                listed[codes[p]] += 1
        weight = np.zeros((len(mine), len(mine)))
        for k in range(found):
            listed[touched[k]] = 0
            for a in range(bounds[k], bounds[k + 1]):
                row = weight[lists[a]]
                for b in range(a + 1, bounds[k + 1]):
                    row[lists[b]] += 1
        for a in range(len(mine)):
            for b in range(a + 1, len(mine)):
                weight[a, b] = user_weight[mine[a]] * user_weight[mine[b]] / (alpha2 + weight[a, b])
        size = 0
        for k in range(found):
            if touched[k] == item or bounds[k + 1] - bounds[k] < min_common:
                continue
            total = 0.0
            for a in range(bounds[k], bounds[k + 1]):
                row = weight[lists[a]]
                for b in range(a + 1, bounds[k + 1]):
                    total += row[lists[b]]
            code[size], score[size] = touched[k], total
            size += 1
        best_first(score[:size], code[:size], top_n)
        kept = min(size, top_n)
        codes_out[n : n + kept], scores_out[n : n + kept] = code[:kept], score[:kept]
        lengths[item - start] = kept
        n += kept
    return lengths, codes_out[:n], scores_out[:n]
