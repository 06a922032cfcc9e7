"""A registration guessed from files reads these files."""

import json
import random
from datetime import UTC, datetime

import pytest

from jobs.data.registration import load_registration
from tests.data.test_real_data import DATA
from tests.register.guesses import NOON, guessed, table


@pytest.mark.parametrize(
    "name, kinds, events, target",
    [
        ("airec-lab", {"behavior", "item", "user"}, ["click", "purchase"], "click"),
        ("mind-small-sample", {"behavior", "item"}, ["expr", "click"], "click"),
        ("ml-100k", {"behavior", "item", "user"}, ["expr", "click"], "click"),
    ],
)
def test_the_real_sets(tmp_path, name, kinds, events, target):
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not on this machine")
    registration, _ = guessed(DATA / name, tmp_path)
    shipped = load_registration({"mind-small-sample": "mind"}.get(name, name.replace("-", "_")))
    assert set(registration.files.by_kind()) == kinds
    assert (registration.events, registration.target) == (events, target)
    assert registration.files.behavior.impressions == shipped.files.behavior.impressions
    assert registration.files.behavior.time_format == shipped.files.behavior.time_format
    assert registration.files.item.complete == shipped.files.item.complete


def test_personalize(folder, tmp_path):
    some = random.Random(7)
    rows = []
    for n in range(400):
        shown = "|".join(f"i{some.randrange(60)}" for _ in range(4)) if n % 2 else ""
        event = some.choice(["Click", "Click", "Click", "Purchase"])
        rows.append((f"u{some.randrange(40)}", f"i{n % 60}", NOON + 60 * n, event, 1.5, shown))
    (folder / "interactions.csv").write_text(table("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION", rows))
    genres = ["Drama", "Sci-Fi", "Comedy"]
    items = [(f"i{n}", NOON, "|".join(some.sample(genres, 1 + n % 2)), n * 1.5) for n in range(60)]
    (folder / "items.csv").write_text(table("ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE", items))
    users = [(f"u{n}", 20 + n, "FM"[n % 2]) for n in range(40)]
    (folder / "users.csv").write_text(table("USER_ID,AGE,GENDER", users))
    registration, _ = guessed(folder, tmp_path)
    behavior, item, user = (registration.files.by_kind()[kind] for kind in ("behavior", "item", "user"))
    shipped = load_registration("personalize").files
    assert registration.events == ["impression", "click", "purchase"] and registration.target == "click"
    assert behavior.event.names == {"Click": "click", "Purchase": "purchase"}
    assert behavior.event.shown == shipped.behavior.event.shown and behavior.impressions
    assert item.single_roles() == shipped.item.single_roles() and item.tag_separator == "|"
    assert item.attributes("numerical") == {"price": "PRICE"} and item.complete
    assert (user.attributes("categorical"), user.attributes("numerical")) == ({"gender": "GENDER"}, {"age": "AGE"})


def test_a_log_without_a_header(folder, tmp_path):
    """Taobao's user behavior: user, item, category, type, unix seconds."""
    some = random.Random(7)
    kinds = ["pv"] * 20 + ["cart", "fav", "buy"]
    rows = []
    for n in range(3000):
        item = some.randrange(1000, 1400)
        rows.append((some.randrange(100, 300), item, 2000000 + item % 30, some.choice(kinds), NOON + n))
    (folder / "UserBehavior.csv").write_text(table("", rows))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.header is False and behavior.columns == ["user_id", "item_id", "column_3", "event", "event_time"]
    assert registration.events[0] == "pv" and set(registration.events) == {"pv", "cart", "fav", "buy"}
    assert registration.target == "pv" and behavior.impressions is False
    assert behavior.attributes("categorical") == {"column_3": "column_3"}
    assert any("Only its place says so" in doubt for doubt in proposal.doubts)


def test_transactions_without_an_event(folder, tmp_path):
    some = random.Random(7)
    rows = []
    for n in range(500):
        day, article = f"2020-09-{1 + n // 25:02}", f"0{some.randrange(100000, 100080)}"
        rows.append((day, f"{some.randrange(90):064x}", article, 0.05 + n % 7 / 100, 1 + n % 2))
    (folder / "transactions_train.csv").write_text(table("t_dat,customer_id,article_id,price,sales_channel_id", rows))
    articles = [(f"0{n}", n // 10, f"Top {n}", "Jersey", f'"a, ""soft"" top no {n}"') for n in range(100000, 100080)]
    header = "article_id,product_code,prod_name,graphical_appearance_name,detail_desc"
    (folder / "articles.csv").write_text(table(header, articles))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.event.constant == "purchase" and registration.events == ["purchase"]
    assert behavior.time_format == "iso" and behavior.roles.value == "price"
    assert behavior.attributes("categorical") == {"sales_channel_id": "sales_channel_id"}
    assert registration.files.item.roles.title == "prod_name" and registration.files.item.quote == '"'
    assert "graphical_appearance_name: has one value only" in proposal.text


def test_nested_json_lines(folder, tmp_path):
    with (folder / "app.log.jsonl").open("w") as file:
        for n in range(300):
            record = {
                "ts": datetime.fromtimestamp(NOON + n, UTC).strftime("%Y-%m-%dT%H:%M:%S+08:00"),
                "user": {"id": f"u{n % 23}", "email": f"{n}@x.org"},
                "event": {"type": ["impression", "impression", "click", "add_to_cart"][n % 4]},
                "item": {"id": f"i{n % 31}"},
                "context": {"page": ["home", "detail"][n % 2], "device": {"os": ["ios", "android"][n % 2]}},
            }
            file.write(json.dumps(record) + "\n")
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.single_roles() == {
        "user_id": "user.id",
        "item_id": "item.id",
        "event_time": "ts",
        "scene": "context.page",
    }
    assert registration.events == ["impression", "click", "add_to_cart"] and behavior.impressions
    assert behavior.attributes("categorical") == {"context_device_os": "context.device.os"}
    assert registration.timezone == "Etc/GMT-8" and any("which city" in doubt for doubt in proposal.doubts)
    assert "user.email: may tell who a person is" in proposal.text


def test_a_label_without_a_time(folder, tmp_path):
    some = random.Random(7)
    rows = [(f"u{n % 40}", f"a{n % 9}", int(n % 11 == 0), "top", some.random()) for n in range(300)]
    (folder / "samples.tsv").write_text(table("user\tad_id\tclicked\tslot\tbid", rows, "\t"))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    rating = behavior.event.rating
    assert (rating.column, rating.at_least, rating.positive, rating.exposure) == ("clicked", 1, "click", "expr")
    assert behavior.impressions and behavior.day is not None and behavior.roles.event_time is None
    assert any(doubt.startswith("files.behavior.day") for doubt in proposal.doubts)


def test_chinese_headers_in_gbk(folder, tmp_path):
    acts = ["浏览", "浏览", "加购", "购买"]
    rows = [(f"u{n % 30}", f"g{n % 17}", acts[n % 4], f"2024/04/{1 + n % 28:02} 10:{n % 60:02}") for n in range(400)]
    (folder / "行为日志.csv").write_bytes(table("用户ID,商品ID,行为类型,行为时间", rows).encode("gbk"))
    goods = [(f"g{n}", f"商品名称{n}号", ["服装", "食品", "数码"][n % 3], n + 0.5) for n in range(17)]
    (folder / "商品.csv").write_bytes(table("商品ID,商品名称,类目,价格", goods).encode("gbk"))
    registration, proposal = guessed(folder, tmp_path)
    behavior, item = registration.files.behavior, registration.files.item
    assert behavior.encoding == item.encoding == "gb18030" and behavior.time_format == "%Y/%m/%d %H:%M"
    assert registration.events == ["view", "cart", "purchase"] and registration.target == "view"
    assert item.roles.title == "商品名称" and item.attributes("categorical") == {"category": "类目"}
    assert item.attributes("numerical") == {"price": "价格"}
