"""What happens on a day of the demo world: requests, what is shown, what is clicked. Pure numpy.

A day is cut into chunks of CHUNK requests, each with its own random stream keyed by (seed, day, chunk): so a day comes
out the same alone, within a range and however chunks are spread over tasks, and memory is that of one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.data.demo_titles import TOPIC_CATEGORY
from jobs.data.demo_world import (
    LAST_REQUEST_SEC,
    RANDOM_CLICK_PROBABILITY,
    Items,
    Users,
    bell,
    check_days,
    click_probability,
    items_alive,
    items_of,
    uniform,
    users_alive,
    users_of,
)
from jobs.lib.days import day_number
from jobs.lib.demo_params import DemoParams

CHUNK = 2000
_CANDIDATES = 18
_SHOWN = (8, 12)
# What a slot of a request is filled from: the popular, the user's taste, anything. The rest is exploration.
_POPULAR_SHARE, _TASTE_SHARE = 0.2, 0.65
_WEEKDAY_LOAD = (0.97, 0.95, 0.96, 0.98, 1.02, 1.07, 1.05)
_HOURS_WEEKDAY = (3, 2, 1, 1, 1, 2, 4, 7, 8, 7, 7, 8, 11, 10, 7, 7, 7, 8, 10, 13, 16, 18, 14, 8)
_HOURS_WEEKEND = (5, 3, 2, 1, 1, 1, 2, 4, 6, 9, 11, 12, 12, 12, 11, 11, 11, 11, 12, 14, 16, 17, 14, 9)


@dataclass(frozen=True)
class Impressions:
    """Shown items of one chunk, one element an impression, in request order. `user` and `item` are positions in
    `users` and `items`, `second` the local second of the day when it was shown, `request` the number in the day."""

    users: Users
    items: Items
    request: np.ndarray
    user: np.ndarray
    item: np.ndarray
    page: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    is_click: np.ndarray
    is_praise: np.ndarray
    rng: np.random.Generator


@dataclass(frozen=True)
class _Day:
    """What all chunks of a day share. Sums are cumulative weights to draw from; items are ordered by topic."""

    items: Items
    users: np.ndarray
    activity_sum: np.ndarray
    popularity_sum: np.ndarray
    topic_start: np.ndarray
    is_topic: np.ndarray
    hour_sum: np.ndarray


def requests_on(params: DemoParams, day: int) -> int:
    """Requests of a day: the average times the weekday's load."""
    return max(1, round(params.requests_per_day * _WEEKDAY_LOAD[(day + 3) % 7]))


def chunks_on(params: DemoParams, day: int) -> int:
    return -(-requests_on(params, day) // CHUNK)


@lru_cache(maxsize=2)
def _day(params: DemoParams, day: int) -> _Day:
    ids = items_alive(params, day)
    items = items_of(params, ids)
    by_topic = np.argsort(items.topic, kind="stable")
    items = Items(**{name: values[by_topic] for name, values in vars(items).items()})
    age = day - items.joined
    weight = items.popularity * (0.3 + np.exp(-age / 12))
    counts = np.bincount(items.topic, minlength=len(TOPIC_CATEGORY))
    users = users_alive(params, day)
    weekend = (day + 3) % 7 >= 5
    return _Day(
        items=items,
        users=users,
        activity_sum=np.cumsum(np.exp(0.9 * bell(uniform(params.seed, "activity", users)))),
        popularity_sum=np.cumsum(weight),
        topic_start=np.concatenate([[0], np.cumsum(counts)]),
        is_topic=counts > 0,
        hour_sum=np.concatenate([[0], np.cumsum(_HOURS_WEEKEND if weekend else _HOURS_WEEKDAY)]).astype(float),
    )


def impressions(params: DemoParams, day: int, chunk: int) -> Impressions:
    """The impressions of one chunk of a day, with clicks and praises. The rest of the stream stays in `rng`."""
    world = _day(params, day)
    rng = np.random.Generator(np.random.Philox(key=[params.seed, (day << 32) + chunk]))
    n = min(CHUNK, requests_on(params, day) - chunk * CHUNK)
    asked_by = np.searchsorted(world.activity_sum, rng.random(n) * world.activity_sum[-1], side="right")
    ids, row_user = np.unique(world.users[np.minimum(asked_by, len(world.users) - 1)], return_inverse=True)
    users = users_of(params, ids)
    second = _request_seconds(world, users, row_user, day, rng)
    page = (rng.random(n) >= 0.8).astype(int)
    shown = _slate(params, world, users, row_user, page, day, second, rng)
    row, column = np.nonzero(shown >= 0)
    item, user = shown[row, column], row_user[row]
    probability = click_probability(params, users, user, world.items, item, page[row], second[row] / 3600)
    is_click = rng.random(len(row)) < probability
    praised = RANDOM_CLICK_PROBABILITY if params.mode == "random" else np.clip(0.6 * probability, 0.02, 0.5)
    is_praise = is_click & (rng.random(len(row)) < praised)
    return Impressions(
        users=users,
        items=world.items,
        request=chunk * CHUNK + row,
        user=user,
        item=item,
        page=page[row],
        second=second[row],
        probability=probability,
        is_click=is_click,
        is_praise=is_praise,
        rng=rng,
    )


def _request_seconds(world: _Day, users: Users, row_user: np.ndarray, day: int, rng: np.random.Generator) -> np.ndarray:
    """Seconds of the day along the hour curve; on their first day users come after they registered."""
    draw = rng.random(len(row_user))
    edges = np.linspace(0, LAST_REQUEST_SEC, 25)
    second = np.interp(draw * world.hour_sum[-1], world.hour_sum, edges)
    registered = users.joined_sec[row_user]
    later = registered + draw * (LAST_REQUEST_SEC - registered)
    return np.where(users.joined[row_user] == day, later, second).astype(np.int64)


def _slate(
    params: DemoParams,
    world: _Day,
    users: Users,
    row_user: np.ndarray,
    page: np.ndarray,
    day: int,
    second: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Requests x candidates: the position of the item shown, or -1. An item is shown once a request, and not before
    it was published."""
    n, items = len(row_user), world.items
    source = rng.random((n, _CANDIDATES))
    source[page == 1] *= 0.8  # the detail page explores less
    draw = rng.random((n, _CANDIDATES))
    total = world.popularity_sum[-1]
    popular = np.searchsorted(world.popularity_sum, draw * total, side="right")
    anything = (draw * len(items.ids)).astype(int)
    taste = _by_taste(world, users, row_user, draw, rng.random((n, _CANDIDATES)))
    if params.mode == "random":
        taste = popular
    picked = np.where(
        source < _POPULAR_SHARE, popular, np.where(source < _POPULAR_SHARE + _TASTE_SHARE, taste, anything)
    )
    picked = np.minimum(picked, len(items.ids) - 1)
    order = np.argsort(picked, axis=1, kind="stable")
    in_order = np.take_along_axis(picked, order, axis=1)
    is_repeat = np.zeros_like(picked, dtype=bool)
    np.put_along_axis(is_repeat, order[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    is_out = (items.joined[picked] < day) | (items.joined_sec[picked] < second[:, None])
    usable = is_out & ~is_repeat
    wanted = _SHOWN[0] + (rng.random(n) * (_SHOWN[1] - _SHOWN[0] + 1)).astype(int)
    return np.where(usable & (np.cumsum(usable, axis=1) <= wanted[:, None]), picked, -1)


def _by_taste(world: _Day, users: Users, row_user: np.ndarray, draw: np.ndarray, topic_draw: np.ndarray) -> np.ndarray:
    """A topic by the user's taste, then an item of it by popularity: positions of items."""
    liking = np.where(world.is_topic, np.exp(2.0 * users.taste), 0.0)
    cumulative = np.cumsum(liking, axis=1)
    cumulative /= cumulative[:, -1:]
    # One sorted array for all rows: row r's draws are looked up between r and r + 1.
    n_topics = cumulative.shape[1]
    offset = np.arange(len(users.ids))[:, None]
    found = np.searchsorted((cumulative + offset).ravel(), (topic_draw + offset[row_user]).ravel(), side="right")
    topic = np.minimum(found.reshape(topic_draw.shape) - row_user[:, None] * n_topics, n_topics - 1)
    before = np.concatenate([[0.0], world.popularity_sum])
    low, high = before[world.topic_start[topic]], before[world.topic_start[topic + 1]]
    return np.searchsorted(world.popularity_sum, low + draw * (high - low), side="right")


def click_totals(params: DemoParams, day: int, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item ids with clicks in a chunk, their clicks and their praises: what running counts are summed from."""
    shown = impressions(params, day, chunk)
    n = len(shown.items.ids)
    clicks = np.bincount(shown.item[shown.is_click], minlength=n)
    praises = np.bincount(shown.item[shown.is_praise], minlength=n)
    clicked = np.nonzero(clicks)[0]
    return shown.items.ids[clicked], clicks[clicked], praises[clicked]


def best_auc(params: DemoParams, days: list[str]) -> tuple[float, int]:
    """The AUC of the true click probability on the impressions of these days, and how many there are.

    Recomputed from the generator, so it is nowhere in the tables. No model can be expected to do better. NaN without
    both clicks and non-clicks.
    """
    check_days(params, days)
    drawn = [
        impressions(params, day, chunk) for day in map(day_number, days) for chunk in range(chunks_on(params, day))
    ]
    probability = np.concatenate([shown.probability for shown in drawn])
    return auc(probability, np.concatenate([shown.is_click for shown in drawn])), len(probability)


def auc(score: np.ndarray, is_positive: np.ndarray) -> float:
    """Area under the ROC curve by ranks; ties count half."""
    _, tie, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[tie]
    n1 = int(is_positive.sum())
    n0 = len(score) - n1
    return float((rank[is_positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)) if n1 and n0 else float("nan")


def true_click_rate(params: DemoParams, user_ids: list[str], item_ids: list[str]) -> float:
    """Mean true probability of a click if these pairs were shown on the home page at nine in the evening.

    What lists are worth, whatever the generator happened to show: hit rates see only items that were shown.
    """
    users, user = np.unique(np.array(user_ids, np.int64), return_inverse=True)
    items, item = np.unique(np.array(item_ids, np.int64), return_inverse=True)
    page, hour = np.zeros(len(user), np.int64), np.full(len(user), 21.0)
    truth = click_probability(params, users_of(params, users), user, items_of(params, items), item, page, hour)
    return float(truth.mean())
