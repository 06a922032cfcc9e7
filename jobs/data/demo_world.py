"""Who and what there is in the demo world, and how likely a click is. Pure numpy: no Spark, no I/O, no clock.

Nothing here has state: every attribute of a user or item is a hash of (seed, attribute, id), so it is the same
whatever was generated before, in whichever process. `items` items are on offer on any day and `users` accounts exist:
ids count up with the days, new ones join daily, and the oldest leave after ITEM_DAYS and USER_DAYS.

What there is to learn: a user likes some categories more (partly told by gender, age and city) and within them some
topics (told only by what they do); items have a quality, authors an appeal; long items suit older users; page and hour
matter a little. `click_probability` is the one place where these become a click.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.data.demo_titles import CATEGORIES, CITIES, TOPIC_CATEGORY
from jobs.lib.days import day_number
from jobs.lib.demo_params import DemoParams
from jobs.lib.errors import RecflowError

ITEM_DAYS = 90
USER_DAYS = 240
DAY_SEC = 86_400
# The last quarter of an hour of a day has no new requests, so that what follows a request stays within the day.
LAST_REQUEST_SEC = DAY_SEC - 900
AGE_BUCKETS = (18, 25, 35, 50)
GENDERS = ("female", "male", "unknown")
PAGES = ("home", "detail")
RANDOM_CLICK_PROBABILITY = 0.1

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (public domain, S. Vigna): every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(seed: int, stream: str, ids: np.ndarray, lanes: int = 0) -> np.ndarray:
    """Draws in (0, 1), one per id, or a row of `lanes` per id; a function of (seed, stream, id, lane) alone."""
    with np.errstate(over="ignore"):
        key = np.array([seed & (2**64 - 1), *stream.encode()], dtype=np.uint64)
        salt = np.uint64(0)
        for part in key:
            salt = _mix((salt + part) * _GOLDEN + np.uint64(1))
        x = _mix(np.asarray(ids, dtype=np.int64).astype(np.uint64) * _GOLDEN + salt)
        if lanes:
            x = _mix(x[:, None] + np.arange(1, lanes + 1, dtype=np.uint64) * _GOLDEN)
    return ((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def bell(draws: np.ndarray) -> np.ndarray:
    """Draws in (0, 1) as a bell curve of mean 0 and variance 1 (logistic: one draw a value, no special functions)."""
    return np.log(draws / (1 - draws)) * (np.sqrt(3) / np.pi)


def first_day(params: DemoParams) -> int:
    return day_number(params.epoch)


def check_days(params: DemoParams, days: list[str]) -> None:
    """Raises RecflowError when a ds lies before the world began."""
    if early := [ds for ds in days if ds < params.epoch]:
        raise RecflowError(f"demo data begin with ds={params.epoch} (demo.epoch); there is no ds={early[0]}")


def _alive(count: int, lifetime: int, params: DemoParams, day: int) -> tuple[int, int]:
    newest = count + (day - first_day(params)) * count // lifetime
    return newest - count + 1, newest


def _joined(count: int, lifetime: int, params: DemoParams, ids: np.ndarray) -> np.ndarray:
    return first_day(params) - ((count - ids) * lifetime // count)


def items_alive(params: DemoParams, day: int) -> np.ndarray:
    """Ids of the items on offer by the end of a day (before the epoch some are below 1: they are in no table)."""
    low, high = _alive(params.items, ITEM_DAYS, params, day)
    return np.arange(low, high + 1)


def users_alive(params: DemoParams, day: int) -> np.ndarray:
    low, high = _alive(params.users, USER_DAYS, params, day)
    return np.arange(low, high + 1)


@dataclass(frozen=True)
class Items:
    """Attributes of items, one element an item. `joined` is a day number, `joined_sec` the second of that day."""

    ids: np.ndarray
    joined: np.ndarray
    joined_sec: np.ndarray
    author: np.ndarray
    topic: np.ndarray
    duration: np.ndarray
    quality: np.ndarray
    popularity: np.ndarray
    title_draw: np.ndarray

    @property
    def category(self) -> np.ndarray:
        return TOPIC_CATEGORY[self.topic]


@dataclass(frozen=True)
class Users:
    """Attributes of users, one element a user. `taste` is users x topics, about normal, never shown in a table."""

    ids: np.ndarray
    joined: np.ndarray
    joined_sec: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    city: np.ndarray
    taste: np.ndarray
    ease: np.ndarray


def items_of(params: DemoParams, ids: np.ndarray) -> Items:
    """The items of these ids."""
    seed = params.seed
    joined = _joined(params.items, ITEM_DAYS, params, ids)
    author = _authors(params, ids, joined)
    # Half of what an author makes is about one topic, a quarter about a second one.
    habit, pick = uniform(seed, "item habit", ids), uniform(seed, "item topic", ids)
    n_topics = len(TOPIC_CATEGORY)
    any_topic = (pick**1.3 * n_topics).astype(int)
    own = (uniform(seed, "author topic", author, 2) ** 1.3 * n_topics).astype(int)
    topic = np.where(habit < 0.5, own[:, 0], np.where(habit < 0.75, own[:, 1], any_topic))
    category = TOPIC_CATEGORY[topic]
    quality = 0.6 * bell(uniform(seed, "item quality", ids)) + author_appeal(params, author)
    typical = np.exp(3.6 + 0.7 * bell(uniform(seed, "category duration", np.arange(len(CATEGORIES)))))
    duration = np.round(np.clip(typical[category] * np.exp(0.6 * bell(uniform(seed, "duration", ids))), 5, 1800), 1)
    # Zipf: ranked by popularity, the item at rank r has a weight of about (r / items) ** -0.8; the top is capped.
    zipf = np.minimum(uniform(seed, "popularity", ids) ** -0.8, 40.0)
    return Items(
        ids=ids,
        joined=joined,
        joined_sec=(uniform(seed, "pub second", ids) * LAST_REQUEST_SEC).astype(np.int64),
        author=author,
        topic=topic,
        duration=duration,
        quality=quality,
        popularity=zipf * np.exp(0.3 * quality),
        title_draw=uniform(seed, "title", ids),
    )


def author_appeal(params: DemoParams, authors: np.ndarray) -> np.ndarray:
    return 0.35 * bell(uniform(params.seed, "author appeal", authors))


def author_step(params: DemoParams) -> int:
    """Accounts whose id is a multiple of this make items."""
    return 10 if params.users >= 500 else 1


def _authors(params: DemoParams, ids: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """The author of each item: an account that exists the day before, and for as long as the item is on offer."""
    low = _alive(params.users, USER_DAYS, params, joined + ITEM_DAYS + 1)[0]
    high = _alive(params.users, USER_DAYS, params, joined - 1)[1]
    step = author_step(params)
    first = -(-low // step)
    count = high // step - first + 1
    return (first + (uniform(params.seed, "author", ids) ** 2 * count).astype(int)) * step


def users_of(params: DemoParams, ids: np.ndarray) -> Users:
    """The users of these ids, with their latent tastes."""
    seed = params.seed
    gender = np.searchsorted([0.48, 0.95], uniform(seed, "gender", ids))
    age = np.clip(np.round(31 + 10 * bell(uniform(seed, "age", ids))), 16, 75).astype(np.int64)
    city = (uniform(seed, "city", ids) ** 1.5 * len(CITIES)).astype(int)
    group = gender * (len(AGE_BUCKETS) + 1) + np.searchsorted(AGE_BUCKETS, age)
    n_groups, n_categories = len(GENDERS) * (len(AGE_BUCKETS) + 1), len(CATEGORIES)
    of_group = bell(uniform(seed, "group taste", np.arange(n_groups), n_categories))
    of_city = bell(uniform(seed, "city taste", np.arange(len(CITIES)), n_categories))
    own = bell(uniform(seed, "own taste", ids, n_categories))
    by_category = 0.55 * of_group[group] + 0.25 * of_city[city] + 0.55 * own
    by_topic = 0.55 * bell(uniform(seed, "topic taste", ids, len(TOPIC_CATEGORY)))
    return Users(
        ids=ids,
        joined=_joined(params.users, USER_DAYS, params, ids),
        joined_sec=(uniform(seed, "register second", ids) * LAST_REQUEST_SEC).astype(np.int64),
        gender=gender,
        age=age,
        city=city,
        taste=by_category[:, TOPIC_CATEGORY] + by_topic,
        ease=0.3 * bell(uniform(seed, "ease", ids)),
    )


def public_profile(params: DemoParams, users: Users, day: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """follow_cnt and follower_cnt as of a day (they only grow), and the interests a user declares ("food,music")."""
    seed, age_days = params.seed, np.maximum(day - users.joined, 0)
    grown = 1 - np.exp(-age_days / 60)
    wants = np.exp(3.0 + 0.8 * bell(uniform(seed, "follows", users.ids)))
    draws = np.exp(2.0 + 0.8 * bell(uniform(seed, "followers", users.ids)))
    fame = np.where(users.ids % author_step(params) == 0, 8 * np.exp(3 * author_appeal(params, users.ids)), 1.0)
    by_category = users.taste.reshape(len(users.ids), len(CATEGORIES), -1).mean(axis=2)
    said = by_category + 0.8 * bell(uniform(seed, "declared", users.ids, len(CATEGORIES)))
    names = np.array(CATEGORIES, dtype=object)
    top = np.argsort(-said, axis=1, kind="stable")[:, :2]
    tags = names[top[:, 0]] + "," + names[top[:, 1]]
    tags[uniform(seed, "has tags", users.ids) < 0.15] = None
    return (wants * grown).astype(np.int64), (draws * fame * grown).astype(np.int64), tags


def click_probability(
    params: DemoParams,
    users: Users,
    user: np.ndarray,
    items: Items,
    item: np.ndarray,
    page: np.ndarray,
    hour: np.ndarray,
) -> np.ndarray:
    """The true probability of a click on each impression: what no model can beat.

    `user` and `item` are positions in `users` and `items`, `page` a position in PAGES, `hour` the local hour (0..24).
    """
    if params.mode == "random":
        return np.full(len(user), RANDOM_CLICK_PROBABILITY)
    ideal = 3.3 + 0.02 * (users.age[user] - 30)
    length = -0.25 * (np.log(items.duration[item]) - ideal) ** 2
    evening = 0.15 * np.cos((hour - 21) * (2 * np.pi / 24))
    logit = -3.35 + 0.9 * users.taste[user, items.topic[item]] + items.quality[item] + users.ease[user]
    return 1 / (1 + np.exp(-(logit + length + evening + 0.2 * (page == 1))))
