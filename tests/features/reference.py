"""Windowed features and preferences the slow, obvious way: per key and day, a loop over all rows."""

from __future__ import annotations

from collections import Counter

from jobs.features.windows import RECENT, Kv, Windows


def features(rows: list[tuple], windows: Windows, day: int, history: int) -> dict[str, dict]:
    """rows: (key, event, counterpart, day, cnt, micros). Features per key as of the end of `day`."""
    within = {w: [r for r in rows if day - w < r[3] <= day] for w in (*windows.windows, windows.longest)}
    rows_of = {w: {} for w in within}
    for w, chosen in within.items():
        for row in chosen:
            rows_of[w].setdefault(row[0], []).append(row)
    result = {}
    for key in rows_of[windows.longest]:
        mine = {w: rows_of[w].get(key, []) for w in within}
        result[key] = _of_key(mine, within, windows, day) | {f"{windows.side}__history_days": float(history)}
    return result


def _of_key(mine: dict, everyone: dict, windows: Windows, day: int) -> dict:
    row: dict = {}
    for event in windows.events:
        name = f"{windows.side}__{event}"
        for w in windows.windows:
            chosen = [r for r in mine[w] if r[1] == event]
            cnt = sum(r[4] for r in chosen)
            row[f"{name}_cnt_{w}d"] = float(cnt)
            row[f"{name}_uniq_{w}d"] = float(len({r[2] for r in chosen}))
            row[f"{name}_days_{w}d"] = float(len({r[3] for r in chosen}))
            if event in windows.value_events:
                total = sum(r[5] for r in chosen) / 1e6
                row[f"{name}_value_sum_{w}d"] = total
                row[f"{name}_value_mean_{w}d"] = total / cnt if cnt else None
        past = [r[3] for r in mine[windows.longest] if r[1] == event]
        row[f"{name}_days_since"] = float(day - max(past)) if past else None
    for name, impressions, hits in windows.rates:
        for w in windows.windows:
            seen, hit = (sum(r[4] for r in everyone[w] if r[1] == event) for event in (impressions, hits))
            own_seen, own_hit = (sum(r[4] for r in mine[w] if r[1] == event) for event in (impressions, hits))
            rate = None if not seen else 0.0
            if seen and hit:
                rate = (windows.smoothing + own_hit) / (windows.smoothing * seen / hit + own_seen)
            row[f"{windows.side}__{name}_{w}d"] = rate
    return row


def preferences(actions: list[tuple], attributes: dict, windows: Windows, day: int, first: int) -> dict[str, dict]:
    """actions: (user, event, item, day, cnt, micros); attributes: item -> {attribute: value} as of `day`; first: the
    number of day 0."""
    event, window, _ = windows.preference
    counts: dict[tuple[str, Kv], Counter] = {}
    for user, kind, item, acted, cnt, _ in actions:
        for kv in windows.kvs if day - window < acted <= day else ():
            if kv.event != kind:
                continue
            counter = counts.setdefault((user, kv), Counter())
            if kv.attribute == RECENT:
                counter[item] = max(counter[item], first + acted)
            elif (value := attributes.get(item, {}).get(kv.attribute)) is not None:
                counter[value] += cnt
    result: dict[str, dict] = {}
    for (user, kv), counter in counts.items():
        ordered = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
        row = result.setdefault(user, {})
        text = ",".join(f"{v}:{n}" for v, n in ordered[: kv.top])
        row[windows.preference_name(kv.attribute, "kv", kv.event)] = text or None
        if kv.has_share and ordered:
            row[windows.preference_name(kv.attribute, "top_share")] = ordered[0][1] / counter.total()
    return result
