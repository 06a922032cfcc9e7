"""The command on a small shop whose future is known."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluate.lists import given_lists
from jobs.lib.cli import main
from jobs.lib.errors import RecflowError

REGISTRATION = {
    "name": "shop",
    "timezone": "UTC",
    "events": ["click"],
    "target": "click",
    "files": {
        "behavior": {
            "file": "events.csv",
            "roles": {"user_id": "user", "item_id": "item", "event_time": "at"},
            "time_format": "unix_s",
            "event": {"constant": "click"},
            "impressions": False,
        },
    },
    "solution": {
        "fusion": {"method": "learned"},
        "publish": {"active_days": 400, "seen_days": 400, "fallback": None},
        "recalls": [
            {"name": "hot", "job": "hot", "window_days": 30},
            {"name": "i2i", "job": "etrec_i2i"},
            {"name": "u2i", "job": "u2i", "source": "i2i", "trigger_window_days": 30},
        ],
    },
}
START = 1_795_000_000


def shop_rows():
    """Two circles of users who go through the same items in the same order; everybody's next item is their circle's."""
    rows = []
    for user in range(40):
        circle = "ab"[user % 2]
        seen = 3 + user % 7
        rows += [(f"u{user}", f"{circle}{n}", START + 3600 * (8 * n + user % 8)) for n in range(seen + 1)]
    return rows


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(folder / "home"))
        for name in ("RECFLOW_WAREHOUSE", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
            patch.delenv(name, raising=False)
        lines = [",".join(map(str, row)) for row in shop_rows()]
        (folder / "events.csv").write_text("\n".join(["user,item,at", *lines, ""]), encoding="utf-8")
        (folder / "shop.yaml").write_text(json.dumps(REGISTRATION), encoding="utf-8")
        assert main(["import", str(folder / "shop.yaml"), str(folder)]) == 0
        yield folder


def evaluated(shop, *more):
    out = shop / "out"
    assert main(["evaluate", "recall", "--solution", str(shop / "shop.yaml"), "--out", str(out), *more]) == 0
    rows = pq.read_table(out / "figures.parquet").to_pylist()
    return {(row["subject"], row["measure"], row["k"]): row for row in rows}


def test_recalls_are_judged_beside_popularity_chance_and_a_list_of_somebody_else(shop, capsys):
    assert (
        main(
            [
                "evaluate",
                "split",
                "--solution",
                str(shop / "shop.yaml"),
                "--by",
                "user",
                "--train",
                "0.75",
                "--out",
                str(shop),
            ]
        )
        == 0
    )
    train, test = (pq.read_table(shop / part) for part in ("train", "test"))
    assert train.num_rows + test.num_rows == len(shop_rows())
    known = test.append_column("score", pa.array([1.0] * test.num_rows))
    pq.write_table(known, shop / "known.parquet")
    capsys.readouterr()
    found = evaluated(shop, "--by", "user", "--train", "0.75", "--lists", f"oracle={shop / 'known.parquet'}")
    shown = capsys.readouterr().out
    assert found["oracle", "recall", 10]["value"] == 1.0 and found["oracle", "ndcg", 10]["low"] == pytest.approx(1.0)
    assert found["u2i", "hit_rate", 10]["value"] > found["random", "hit_rate", 10]["value"]
    assert found["fused", "hit_rate", 10]["value"] >= found["popularity", "hit_rate", 10]["value"]
    assert found["u2i", "hit_rate", 10]["n"] == found["fused", "recall", 200]["n"]
    assert found["fused - oracle", "ndcg", 10]["value"] <= 0
    assert 0 <= found["u2i in fused", "overlap", 50]["value"] <= 1
    assert "fused - oracle, paired by user" in shown and "The best single recall is" in shown
    again = evaluated(shop, "--by", "user", "--train", "0.75", "--lists", f"oracle={shop / 'known.parquet'}")
    assert again == found
    page = (shop / "out" / "report.html").read_text(encoding="utf-8")
    assert "oracle" in page and "<svg" in page and "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"user_id": ["u0"], "item": ["a1"], "score": [1.0]}, "has no column item_id"),
        ({"user_id": ["u0"], "item_id": ["a1"], "score": [float("nan")]}, "has 1 rows without"),
    ],
)
def test_a_list_that_cannot_be_judged_is_refused_by_name(tmp_path, columns, said):
    users = pa.array(["u0"])
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    with pytest.raises(RecflowError, match=said):
        given_lists("odd", str(tmp_path / "odd.parquet"), users)
    with pytest.raises(RecflowError, match="--lists odd: .*nowhere.parquet cannot be read"):
        given_lists("odd", str(tmp_path / "nowhere.parquet"), users)


def test_lists_of_somebody_else_are_ranked_by_score_then_id_whatever_type_ids_have(tmp_path):
    rows = {"user_id": [7, 7, 7, 8, 7], "item_id": [30, 4, 5, 1, 4], "score": [1.0, 2.0, 2.0, 9.0, 0.5]}
    pq.write_table(pa.table(rows), tmp_path / "them.parquet")
    found = given_lists("them", str(tmp_path / "them.parquet"), pa.array(["7"])).to_pylist()
    assert [tuple(row.values()) for row in found] == [("7", "4", 1), ("7", "5", 2), ("7", "30", 3)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--train", "1"], "--train is 1.0"), (["--lists", "x"], "NAME=PARQUET"), (["--lists", "hot=x"], "name is taken")],
)
def test_arguments_that_make_no_sense_are_one_line(shop, capsys, arguments, said):
    assert main(["evaluate", "recall", "--solution", str(shop / "shop.yaml"), *arguments]) == 1
    assert said in capsys.readouterr().err
