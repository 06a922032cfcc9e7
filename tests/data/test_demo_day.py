"""The made-up world itself: numpy only."""

import numpy as np
import pytest
from scipy import sparse

from jobs.data import demo_world
from jobs.data.demo_day import auc, best_auc, chunks_on, impressions, requests_on, true_click_rate
from jobs.lib.days import day_number, window
from jobs.lib.demo_params import DemoParams, from_environment
from jobs.lib.errors import RecflowError

DS = "20261121"
DAY = day_number(DS)
SMALL = DemoParams(users=300, items=120, requests_per_day=200)


def log_of(params, days):
    """All impressions of these days as arrays: day, user, item, is_click."""
    parts = [
        (np.full(len(shown.item), day), shown.users.ids[shown.user], shown.items.ids[shown.item], shown.is_click)
        for day in map(day_number, days)
        for chunk in range(chunks_on(params, day))
        for shown in [impressions(params, day, chunk)]
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.fixture(scope="module")
def planted():
    return log_of(DemoParams(), window(DS, 15))


def test_auc_counts_ties_half():
    assert auc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True])) == 0.75
    assert auc(np.array([1.0, 1.0, 1.0]), np.array([False, True, False])) == 0.5
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))


def test_planted_clicks_can_be_told_but_not_surely():
    for ds in ("20260215", "20260704", DS):
        best, n = best_auc(DemoParams(), [ds])
        assert 0.75 <= best <= 0.82 and n > 10_000


def test_planted_click_rate_is_plausible(planted):
    assert 0.08 <= planted[3].mean() <= 0.15


def test_requests_show_about_ten_different_items():
    shown = impressions(SMALL, DAY, 0)
    _, sizes = np.unique(shown.request, return_counts=True)
    assert len(sizes) == requests_on(SMALL, DAY)
    assert 9 <= sizes.mean() <= 11 and sizes.max() <= 12
    assert len(np.unique(np.stack([shown.request, shown.item]), axis=1).T) == len(shown.item)


def test_a_few_items_get_much_of_the_attention(planted):
    counts = np.sort(np.bincount(planted[2]))[::-1]
    assert counts[:10].sum() > 0.05 * counts.sum()
    assert counts[0] > 20 * np.median(counts[counts > 0])


def test_items_and_users_appear_over_time():
    for alive in (demo_world.items_alive, demo_world.users_alive):
        before, after = alive(DemoParams(), DAY - 30), alive(DemoParams(), DAY)
        assert len(before) == len(after)
        assert after[-1] > before[-1]
    ids = demo_world.items_alive(SMALL, DAY)
    items = demo_world.items_of(SMALL, ids)
    assert items.joined.max() == DAY and items.joined.min() > DAY - demo_world.ITEM_DAYS - 2


def test_authors_have_an_account_while_their_items_are_on_offer():
    for params in (SMALL, DemoParams()):
        items = demo_world.items_of(params, demo_world.items_alive(params, DAY))
        for day in (DAY, int(items.joined.min())):
            alive = demo_world.users_alive(params, day)
            of_then = items.author[items.joined <= day]
            assert of_then.min() >= alive[0] and of_then.max() <= alive[-1]


def test_attributes_do_not_depend_on_what_is_asked_together():
    ids = np.arange(500, 900)
    together, alone = demo_world.users_of(SMALL, ids), demo_world.users_of(SMALL, ids[123:124])
    assert np.array_equal(together.taste[123:124], alone.taste) and together.age[123] == alone.age[0]


def test_another_seed_is_another_world():
    one, other = (impressions(SMALL.overridden({"seed": seed}), DAY, 0) for seed in (1, 2))
    assert not np.array_equal(one.items.topic, other.items.topic)


def test_what_users_like_recalls_better_than_popularity(planted):
    """Clicks of the last day on items not clicked before: cosine over co-clicks against clicks of the last week."""
    day, user, item, is_click = planted
    users, row = np.unique(user[is_click], return_inverse=True)
    items, column = np.unique(item[is_click], return_inverse=True)
    clicked_on = day[is_click]
    past = clicked_on < DAY

    def matrix(chosen):
        cells = sparse.csr_matrix((np.ones(chosen.sum()), (row[chosen], column[chosen])), (len(users), len(items)))
        return (cells > 0).toarray().astype(float)

    seen, new = matrix(past), matrix(~past)
    new[seen > 0] = 0
    norm = np.sqrt(np.maximum(seen.sum(axis=0), 1))
    similar = (seen.T @ seen) / np.outer(norm, norm)
    np.fill_diagonal(similar, 0)
    popular = np.tile(matrix(past & (clicked_on >= DAY - 7)).sum(axis=0), (len(users), 1))
    judged = (new.sum(axis=1) > 0) & (seen.sum(axis=1) > 0)

    def hit_rate(score):
        score = np.where(seen > 0, -1, score)[judged]
        top = np.argsort(-score, axis=1, kind="stable")[:, :20]
        return np.take_along_axis(new[judged], top, axis=1).any(axis=1).mean()

    assert hit_rate(seen @ similar) > 1.25 * hit_rate(popular)


def test_random_clicks_are_independent_of_everything():
    params = DemoParams(mode="random")
    day, user, item, is_click = log_of(params, window(DS, 8))
    assert best_auc(params, [DS])[0] == 0.5
    today = day == DAY
    past = ~today
    described = demo_world.users_of(params, user[today])
    shown = demo_world.items_of(params, item[today])

    def rate(key):
        clicks, seen = np.bincount(key[past & is_click], minlength=key.max() + 1), np.bincount(key[past])
        seen = np.pad(seen, (0, len(clicks) - len(seen)))
        return ((clicks + 1) / (seen + 10))[key[today]]

    features = {
        "item rate": rate(item),
        "user rate": rate(user),
        "taste": described.taste[np.arange(today.sum()), shown.topic],
        "quality": shown.quality,
        "popularity": shown.popularity,
        "age": described.age,
    }
    n1, n0 = is_click[today].sum(), (~is_click[today]).sum()
    error = np.sqrt((n1 + n0 + 1) / (12 * n1 * n0))
    for name, feature in features.items():
        assert abs(auc(feature, is_click[today]) - 0.5) < 3 * error, name


def test_a_day_before_the_epoch_is_refused_by_name():
    with pytest.raises(RecflowError, match="begin with ds=20250101.*no ds=20241231"):
        best_auc(SMALL, ["20241231"])


def test_the_epoch_itself_has_items_users_and_requests():
    shown = impressions(SMALL, demo_world.first_day(SMALL), 0)
    assert shown.items.ids.min() == 1 and shown.users.ids.min() >= 1 and len(shown.item) > 1000


def test_params_from_flags_win_over_the_environment():
    environment = from_environment({"RECFLOW_DEMO_USERS": "500", "RECFLOW_DEMO_ITEMS": "60", "RECFLOW_DEMO_MODE": ""})
    params = DemoParams().overridden(environment, {"users": 700, "items": None})
    assert (params.users, params.items, params.mode) == (700, 60, "planted")


def test_the_true_click_rate_of_what_was_shown_is_near_its_click_rate():
    params = DemoParams(users=300, items=200, requests_per_day=2000)
    shown = impressions(params, day_number("20260301"), 0)
    users, items = shown.users.ids[shown.user].tolist(), shown.items.ids[shown.item].tolist()
    rate = true_click_rate(params, users, items)
    assert abs(rate - shown.probability.mean()) < 0.02
