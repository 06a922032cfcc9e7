"""Names that columns, files and events commonly have, in English and Chinese."""

from __future__ import annotations

import re

# In the order of preference: the first name that a file has is its column for the role.
ROLE_WORDS = {
    "user_id": "user_id uid user userid username user_pseudo_id anonymous_id distinct_id profile_id "
    "member_id member customer_id customer cust_id visitor_id visitor visitorid buyer_id account_id "
    "reviewer_id client_id device_id cookie_id open_id imei viewer_id "
    "用户id 用户编号 用户标识 用户 会员id 会员编号 会员号 会员 买家id 客户id 客户编号 设备id",
    "item_id": "item_id iid item itemid product_id product sku_id sku asin parent_asin goods_id goods spu_id "
    "spu article_id news_id video_id photo_id movie_id song_id track_id ad_id ad adgroup_id "
    "content_id doc_id book_id isbn business_id poi_id note_id feed_id post_id offer_id material_id "
    "商品id 商品编号 商品编码 商品 物品id 物品编号 物品 内容id 视频id 文章id 货号",
    "request_id": "request_id req_id rid recommendation_id trace_id impression_id imp_id expose_id "
    "请求id 请求编号 曝光id",
    "event": "event evt event_type event_name action action_type behavior behavior_type behaviour behaviour_type "
    "bhv_type bhv interaction_type interaction activity_type op operation act "
    "行为 行为类型 事件 事件类型 事件名 动作 操作类型 操作",
    "event_time": "event_time timestamp ts time time_stamp event_timestamp datetime date_time created_at "
    "create_time action_time behavior_time bhv_time click_time view_time order_time pay_time "
    "log_time server_time occurred_at at unix_time unix_review_time purchase_time rated_at event_date "
    "date t_dat dt day ds "
    "行为时间 事件时间 发生时间 时间戳 时间 下单时间 点击时间 操作时间 日期",
    "rating": "rating ratings stars star overall score rate review_score 评分 打分 星级",
    "label": "clicked is_click is_clicked click clk label target converted is_buy is_purchase is_like y "
    "是否点击 点击 标签值",
    "shown": "impression impressions shown shown_items exposed_items slate displayed_items 曝光列表 展示列表",
    "value": "event_value value playtime play_time play_duration watch_time dwell_time dwell duration amount "
    "revenue paid price quantity qty watch_ratio "
    "金额 价格 数量 播放时长 停留时长 时长",
    "scene": "scene scene_id page page_id page_name placement position_name tab surface 场景 场景id 页面",
    "author": "author author_id creator creator_id uploader uploader_id publisher seller_id seller shop_id "
    "store_id up_id "
    "作者 作者id 店铺id 店铺 卖家id 卖家",
    "title": "title item_name product_name prod_name movie_title item_title product_title headline name "
    "标题 名称 名字 商品名称 商品标题 商品名",
    "listing_time": "listing_time pub_time publish_time published_at publish_date creation_timestamp creation_time "
    "created_at create_time upload_time upload_date release_date launch_date "
    "上架时间 发布时间 创建时间",
    "registration_time": "registration_time register_time registered_at reg_time signup_date signup_time sign_up_date "
    "created_at create_time join_date joined_at "
    "注册时间 注册日期",
    "tags": "tags tag genres genre keywords labels interests topics class categories 标签 兴趣 关键词 类型",
}
_MEASURED = ("event_time", "listing_time", "registration_time", "value")  # names that may end with a unit
_WORDS = {role: words.split() for role, words in ROLE_WORDS.items()}

KIND_WORDS = {
    "behavior": r"behav|bhv|event|action|interact|inter$|rating|review|transaction|order|purchase|click|view|train|"
    r"(?<!cata)(?<!b)logs?(_|$)|sessions?$|行为|日志|订单|浏览|交互|交易",
    "item": r"item|product|goods|article|movie|news|sku|catalog|meta|video|book|song|track|商品|物品|内容",
    "user": r"user|customer|member|visitor|account|profile|用户|会员|客户",
}
# What is in the table when the name is in no Latin letters.
ENGLISH = {
    "性别": "gender", "年龄": "age", "城市": "city", "省份": "province", "职业": "occupation", "等级": "level",
    "类目": "category", "分类": "category", "品类": "category", "品牌": "brand", "价格": "price", "单价": "price",
    "颜色": "color", "库存": "stock", "渠道": "channel", "设备": "device", "数量": "quantity", "金额": "amount",
}  # fmt: skip


def normal(name: str) -> str:
    """userId, USER_ID, user.id and `user id` alike: user_id."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[^0-9a-z\u4e00-\u9fff]+", "_", spaced.lower()).strip("_")


def rank(name: str, role: str) -> int | None:
    """How well a column's name fits a role: 0 is best, None not at all. `payload.userId` fits as `userId` does, and
    `main_user_id` somewhat."""
    words, whole, leaf = _WORDS[role], normal(name), normal(name.rsplit(".", 1)[-1])
    squeezed = {word.replace("_", ""): n for n, word in enumerate(words)}
    if role in _MEASURED:
        whole, leaf = (
            re.sub(r"(?<=.)_(ms|s|sec|secs|seconds|millis|utc|unix|local)$", "", text) for text in (whole, leaf)
        )
    for penalty, text in ((0, whole), (100, leaf)):
        if text.replace("_", "") in squeezed:
            return penalty + squeezed[text.replace("_", "")]
    ends = [n for n, word in enumerate(words) if "_" in word and whole.endswith(f"_{word}")]
    if not ends and role == "event_time" and re.search("_(time|date|at|ts|timestamp|datetime)$|时间$|日期$", whole):
        return 300
    return 200 + ends[0] if ends else None


def role_names(name: str) -> list[str]:
    """The roles that a name is known for."""
    return [role for role in _WORDS if rank(name, role) is not None]


def kinds_of(file: str) -> set[str]:
    """What a file's name says that it holds."""
    stem = normal(re.sub(r"\.(csv|tsv|txt|jsonl|json|ndjson|parquet|dat|gz)\b", "", file.rsplit("/", 1)[-1]))
    return {kind for kind, words in KIND_WORDS.items() if re.search(words, stem)}
