"""Rows of the demo tables as Arrow batches: what demo_world and demo_day say, in the tables' columns and time zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from jobs.data import demo_day, demo_world
from jobs.data.demo_titles import CATEGORIES, CITIES, titles
from jobs.lib.days import add_days, from_day_number
from jobs.lib.demo_params import DemoParams

_EVENTS = ("expr", "click", "praise")
_NET_TYPES = ("wifi", "5g", "4g")
_EXPERIMENTS = ("base", "variant")
_MAX_DELAY_SEC, _MAX_PLAYTIME_SEC = 240, 7200


def events_batch(params: DemoParams, day: int, chunk: int, timezone: str) -> pa.RecordBatch:
    """All events of one chunk of requests: first every expr, then the clicks, then the praises."""
    shown = demo_day.impressions(params, day, chunk)
    rng, n = shown.rng, len(shown.item)
    first_of_request = np.searchsorted(shown.request, shown.request)
    slot = np.arange(n) - first_of_request
    start, length = _day_bounds(day, timezone)
    expr_time = start + shown.second * length // demo_world.DAY_SEC + 2 * (slot // 4)
    click_time = expr_time + 1 + np.minimum(rng.exponential(20, n), _MAX_DELAY_SEC).astype(np.int64)
    praise_time = click_time + 1 + np.minimum(rng.exponential(30, n), _MAX_DELAY_SEC).astype(np.int64)
    tail = np.exp(0.9 * demo_world.bell(rng.random(n)))
    if params.mode == "planted":
        tail = tail * shown.items.duration[shown.item] / 30 * np.exp(shown.probability)
    playtime = np.round(np.clip(15 * tail, 0.5, _MAX_PLAYTIME_SEC), 1)

    clicks, praises = np.nonzero(shown.is_click)[0], np.nonzero(shown.is_praise)[0]
    rows = np.concatenate([np.arange(n), clicks, praises])
    event = np.repeat([0, 1, 2], [n, len(clicks), len(praises)])
    times = np.concatenate([expr_time, click_time[clicks], praise_time[praises]])
    played = np.where(event == 1, playtime[rows], 0.0)
    request = shown.request[rows]
    user_ids = shown.users.ids[shown.user[rows]]
    net = np.searchsorted([0.62, 0.9], demo_world.uniform(params.seed, "net", (day << 32) + request))
    ds = from_day_number(day)
    return record_batch(
        request_id=_words([f"{ds}-{r:07d}" for r in range(request[0], request.max() + 1)], request - request[0]),
        user_id=_text(user_ids),
        exp_id=_words(_EXPERIMENTS, (demo_world.uniform(params.seed, "experiment", user_ids) < 0.5).astype(int)),
        page=_words(demo_world.PAGES, shown.page[rows]),
        net_type=_words(_NET_TYPES, net),
        event_time=times,
        item_id=_text(shown.items.ids[shown.item[rows]]),
        event=_words(_EVENTS, event),
        playtime=played,
        ds=_words([ds], np.zeros(len(rows), dtype=int)),
    )


def items_batch(params: DemoParams, running: pa.RecordBatch, timezone: str) -> pa.RecordBatch:
    """Items of the ids and days in `running`, whose `first` and `second` are clicks and praises up to that day."""
    described = demo_world.items_of(params, running["id"].to_numpy())
    return record_batch(
        item_id=described.ids,
        duration=described.duration,
        title=titles(described.title_draw, described.topic),
        category=_words(CATEGORIES, described.category),
        author=described.author,
        click_count=running["first"],
        praise_count=running["second"],
        pub_time=_unix_seconds(described.joined, described.joined_sec, timezone),
        ds=_ds(running["day"]),
    )


def users_batch(params: DemoParams, running: pa.RecordBatch, timezone: str) -> pa.RecordBatch:
    """Users of the ids and days in `running`, whose `first` is how many items they published up to that day."""
    ids = running["id"].to_numpy()
    described = demo_world.users_of(params, ids)
    follows, followers, tags = demo_world.public_profile(params, described, running["day"].to_numpy())
    return record_batch(
        user_id=ids,
        gender=_words(demo_world.GENDERS, described.gender),
        age=described.age,
        city=_words(CITIES, described.city),
        item_cnt=running["first"],
        follow_cnt=follows,
        follower_cnt=followers,
        register_time=_unix_seconds(described.joined, described.joined_sec, timezone),
        tags=tags,
        ds=_ds(running["day"]),
    )


@lru_cache(maxsize=4096)
def _day_bounds(day: int, timezone: str) -> tuple[int, int]:
    """Unix second at which a local day begins, and its length in seconds (23 or 25 hours where clocks change)."""
    zone, ds = ZoneInfo(timezone), from_day_number(day)
    start, end = (int(datetime.strptime(d, "%Y%m%d").replace(tzinfo=zone).timestamp()) for d in (ds, add_days(ds, 1)))
    return start, end - start


def _unix_seconds(days: np.ndarray, seconds: np.ndarray, timezone: str) -> np.ndarray:
    known, position = np.unique(days, return_inverse=True)
    bounds = np.array([_day_bounds(int(day), timezone) for day in known], dtype=np.int64).reshape(-1, 2)
    return bounds[position, 0] + seconds * bounds[position, 1] // demo_world.DAY_SEC


def _ds(day: pa.Array) -> pa.Array:
    known, position = np.unique(day.to_numpy(), return_inverse=True)
    return _words([from_day_number(int(number)) for number in known], position)


def _words(words: Iterable[str], position: np.ndarray) -> pa.Array:
    return pa.array(list(words), pa.string()).take(pa.array(position))


def _text(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def record_batch(**columns) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
