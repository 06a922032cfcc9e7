"""Names of events, and the funnel that they make. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobs.data.registered_files import column_name
from jobs.register.dialect import Guess
from jobs.register.names import normal

# The funnel, in order. Names are compared without case, spaces and underscores.
STAGES = {
    "exposure": "expr expose exposed exposure impression impressions imp show shown display 曝光 展现 展示",
    "view": "pv view views pageview viewitem itemview productview detail detailview viewdetail visit browse "
    "浏览 查看 访问",
    "click": "click clicks clicked clk tap open clickitem 点击",
    "play": "play watch read listen stream videoplay 播放 阅读 观看",
    "engage": "like praise love upvote thumbup comment share follow save download rate 点赞 喜欢 评论 分享 关注 下载",
    "keep": "fav favor favorite favourite collect wishlist addtowishlist bookmark 收藏",
    "cart": "cart addtocart addcart atc basket addtobasket 加购 加购物车 加入购物车",
    "order": "order checkout submitorder placeorder 下单",
    "purchase": "buy bought purchase purchased pay payment paid transaction conversion convert alipay install "
    "subscribe book 购买 支付 成交 付款",
}
_STAGE = {word: stage for stage, words in STAGES.items() for word in words.split()}
_AGAINST = (
    "dislike unlike hide skip remove removefromcart refund cancel cancell return report block unfollow delete "
    "点踩 退款 取消收藏 取消 不感兴趣 不喜欢"
)
_CHINESE = {
    "曝光": "expr", "展现": "expr", "展示": "expr", "浏览": "view", "查看": "view", "访问": "view", "点击": "click",
    "播放": "play", "阅读": "read", "观看": "watch", "点赞": "like", "喜欢": "like", "评论": "comment", "分享": "share",
    "关注": "follow", "下载": "download", "收藏": "fav", "加购": "cart", "加购物车": "cart", "加入购物车": "cart",
    "下单": "order", "购买": "purchase", "支付": "purchase", "成交": "purchase", "付款": "purchase",
}  # fmt: skip
# What the name of a file, or of a 0/1 column, says about its rows.
FILE_EVENTS = {
    "purchase": r"transaction|order|purchase|sales|buy|订单|购买|交易",
    "click": r"click|clk|点击",
    "play": r"play|listen|watch|播放",
    "view": r"view|浏览",
    "like": r"like|favo|收藏",
}


@dataclass(frozen=True)
class Funnel:
    """names: {value: event}, empty where the values will do as they are. against: values that are no positive."""

    events: list[Guess]
    names: dict[str, Guess]
    against: list[Guess]
    target: Guess
    impressions: Guess


def stage(value: str) -> str | None:
    """Of `add_to_cart` as a whole, of `ProductViewed` by a word of it; None for a name that tells nothing."""
    if is_against(value):
        return None
    words = [_STAGE.get(word) or _STAGE.get(re.sub("(ed|s)$", "", word)) for word in normal(value).split("_")]
    return _STAGE.get(_squeezed(value)) or next((found for found in words if found), None)


def is_against(value: str) -> bool:
    words = {_squeezed(value), *normal(value).split("_")}
    present = {re.sub(end, "", word) for word in words for end in ("d$", "ed$")}
    return bool((words | present) & set(_AGAINST.split()))


def funnel_of(values: dict[str, int]) -> Funnel:
    """The funnel of the values of an event column, {value: rows}."""
    against = [value for value in values if is_against(value)]
    if len(against) == len(values):
        against = []
    names = {value: _event_name(value) for value in values if value not in against}
    counts: dict[str, int] = {}
    for value, event in names.items():
        counts[event] = counts.get(event, 0) + values[value]
    stages = _stages(counts)
    order = list(STAGES)
    events = sorted(counts, key=lambda e: (order.index(stages[e] or "engage"), -counts[e], e))
    impressions, exposure = _impressions([event for event in events if stages[event] == "exposure"], counts)
    is_renamed = any(value != event for value, event in names.items()) or against
    doubtful = {event: "" if stages[event] else "what does it mean, and where in the funnel is it?" for event in events}
    return Funnel(
        [Guess(event, f"{counts[event]:,} rows sampled", doubtful[event]) for event in events],
        {v: Guess(e, f"{values[v]:,} rows") for v, e in names.items()} if is_renamed else {},
        [Guess(v, f"{values[v]:,} rows", "it takes an event back, or is against the item") for v in against],
        _target(events, exposure, stages),
        impressions,
    )


def _squeezed(value: str) -> str:
    return normal(value).replace("_", "")


def _stages(counts: dict[str, int]) -> dict[str, str | None]:
    """The stage of each event. A view is an exposure where clicks are fewer, and else as good as a click."""
    stages = {event: stage(event) for event in counts}
    clicks = sum(n for event, n in counts.items() if stages[event] == "click")
    for event, n in counts.items():
        if stages[event] == "view" and 0 < clicks < n:
            stages[event] = "exposure"
    return stages


def _impressions(shown: list[str], counts: dict[str, int]) -> tuple[Guess, str | None]:
    """Are impressions recorded, and by which event?"""
    if not shown:
        return Guess(False, "no event says that an item was merely shown"), None
    exposure = shown[0]
    doubt = "" if stage(exposure) == "exposure" else "is it written for every item that was shown, or a page opened?"
    if len(shown) > 1:
        doubt = f"{' and '.join(shown)} all look like exposures; only one can be"
    return Guess(True, f"{exposure} ({counts[exposure]:,} rows) tells what was shown", doubt), exposure


def _target(events: list[str], exposure: str | None, stages: dict[str, str | None]) -> Guess:
    positives = [event for event in events if event != exposure]
    for wanted, why in (("click", "the click"), ("view", "as good as a click"), ("play", "as good as a click")):
        for event in positives:
            if stages[event] == wanted:
                return Guess(event, why)
    if not positives:
        return Guess("TODO", missing="nothing but exposures was found, and a target is something that users do")
    return Guess(positives[0], "no event is a click: the first positive", "is this what lists should bring about?")


def _event_name(value: str) -> str:
    """Lower case letters, digits and underscores: features are named by it."""
    if value in _CHINESE:
        return _CHINESE[value]
    if not re.search("[A-Za-z]", value):
        return f"event_{column_name(value).removeprefix('c_')}".rstrip("_")
    return value if value == column_name(value) else column_name(normal(value))
