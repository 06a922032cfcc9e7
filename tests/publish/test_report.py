"""The report page: a pure function, safe to open anywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jobs.diagnostics.figure import Figure
from jobs.diagnostics.figure import Figures as DataFigures
from jobs.publish.plots import _apart, _ticks
from jobs.publish.report import report
from jobs.publish.report_figures import Figures, Head, Measured, Recommended, Sample, Step
from jobs.publish.sample_lists import reason
from tests.publish.builders import solution

HOSTILE = '<script src="http://example.org/x.js">'
MEASURES = {
    ("list", "", "hit_rate", 10): Measured(0.31, 0.25, 0.375, 42),
    ("popularity", "", "hit_rate", 10): Measured(0.12, None, None, 42),
    ("recall:etrec_u2i", "", "hit_rate", 10): Measured(0.22, 0.125, 0.25, 42),
    ("ranking", "", "auc", 0): Measured(0.7312, 0.7, 0.75, 1000),
    ("ranking", "", "gauc", 0): Measured(None),
    ("ranking", "", "gauc_users_skipped", 0): Measured(3.0, None, None, 40),
    ("ranking", "", "null_auc_se", 0): Measured(0.01, None, None, 1000),
    ("ranking", "", "calibration", 0): Measured(1.25, None, None, 1000),
    ("ranking", "", "base_rate", 0): Measured(0.125, None, None, 1000),
    ("ranking", "", "predicted", 1): Measured(0.1, None, None, 500),
    ("ranking", "", "observed", 1): Measured(0.05, 0.0, 0.1, 500),
    ("ranking", "", "predicted", 10): Measured(0.5, None, None, 500),
    ("ranking", "", "observed", 10): Measured(0.4, 0.3, 0.5, 500),
    ("ranking", "", "psi_score", 0): Measured(0.05, None, None, 1000),
    ("ranking", "user=new", "auc", 0): Measured(0.5, 0.25, 0.75, 100),
    ("ranking", "user=new", "base_rate", 0): Measured(0.2, None, None, 100),
    ("ranking", "item_category=<b>", "auc", 0): Measured(0.6, 0.5, 0.7, 100),
    ("ranking:item_ctr", "", "auc", 0): Measured(0.6, None, None, 1000),
    ("drift", "item__ctr_15d", "psi", 0): Measured(0.3, None, None, 1000),
}
FULL = Figures(
    scenario="home_page",
    ds="20261121",
    target="click",
    users=10,
    items=5,
    catalog=20,
    notes=["Lists are ordered by recall score: too little data to train."],
    funnel=[Step("expr", 1000, 50), Step("click", 100, 30)],
    measures=MEASURES,
    history={"20261118": MEASURES, "20261119": MEASURES, "20261121": MEASURES},
    sources=[("etrec_u2i", 30)],
    list_rows=50,
    heads=[Head(10, 2, 0.75, 0.25)],
    model=[("trees", "211")],
    gate={"accepted": True, "reason": "AUC 0.73 is above <0.6>"},
    importance=[("item__ctr_15d", 0.5)],
    tables=[("home_page_hot", "20261121", 2, "some_rows")],
    data=DataFigures(
        [
            Figure("column", "user.tags", "missing_share", 0.625, 8),
            Figure("head", "item", "top_1_percent", 0.75, 200),
            Figure("window", "15d", "reached_share", None, 0),
            Figure("skew", "item__ctr_15d", "gain", 0.9, 20),
            Figure("skew", "item__ctr_15d", "psi", 0.375, 20),
            Figure("join", "item", "ids_found_share", 0.875, 20),
        ]
    ),
    advice=["Half of <it> is missing."],
    samples=[Sample(HOSTILE, [HOSTILE], [Recommended(1, "7", HOSTILE, f"Because of {HOSTILE}", [("etrec_u2i", 3)])])],
)


class Balance(HTMLParser):
    """Every opened element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_same_figures_are_the_same_bytes():
    assert report(FULL) == report(FULL)


def test_the_headline_figures_stand_beside_what_they_are_compared_with():
    page = report(FULL)
    for shown in ("0.731", "item CTR alone: 0.600", "31.0%", "popularity: 12.0%", "25% of 20", "10.0% of expr"):
        assert shown in page
    assert "0.5 ± 0.0300" in page
    assert "too little data to train" in page


def test_a_measure_that_is_undefined_is_a_dash():
    assert "<td>0.731 (0.700 to 0.750)</td><td>–</td>" in report(FULL)


def test_nothing_on_the_page_runs_or_asks_the_network():
    page, balance = report(FULL), Balance()
    balance.feed(page)
    assert balance.open == []
    assert not balance.seen & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r'(?:src|href)="', page)
    assert "@import" not in page and "url(" not in page
    assert "&lt;script src=&quot;http://example.org/x.js&quot;&gt;" in page


def test_what_stands_out_about_the_data_is_said_and_drawn():
    page = report(FULL)
    for shown in ("<li>Half of &lt;it&gt; is missing.</li>", "user.tags 62.5%", "top 1% of items 75.0%", "87.5%"):
        assert shown in page
    assert "item__ctr_15d 0.38" in page
    assert "How far a window reaches" not in page  # nothing is drawn of what is undefined


def test_a_page_without_any_figures_says_so():
    page = report(Figures("lab", "20231026", "click", 0, 0))
    assert page.count("Nothing to judge yet") == 2
    for title in ("The last weeks", "For whom", "Has the data moved", "How wide", "Sample lists", "The model"):
        assert f"<h2>{title}" not in page
    assert "prefers-color-scheme: dark" in page


def test_slices_stand_below_all_rows_with_their_intervals():
    page = report(FULL)
    whole, new, category = (page.index(name) for name in (">all rows<", ">new users<", ">category: &lt;b&gt;<"))
    assert whole < new < category
    assert "<td>new users</td><td>100</td><td>0.500 (0.250 to 0.750)</td><td>–</td><td>20.0%</td>" in page


def test_calibration_drift_tail_and_gate_are_said_in_words():
    page = report(FULL)
    for shown in (
        "10.00% predicted, 5.00% observed; 50.00% predicted, 40.00% observed",
        "1.25 times what happened was predicted",
        "1 of the 1 features that moved most are above 0.25",
        "75.0% of the recommendations", "25.0% of the clicks", "25.0% of the 20 on offer",
        "The gate let this model in: AUC 0.73 is above &lt;0.6&gt;", "3 of 40 users are not in GAUC",
    ):  # fmt: skip
        assert shown in page


def test_a_model_that_the_gate_kept_out_is_said_to_be():
    shown = report(replace(FULL, gate={"accepted": False}))
    assert "The gate did not let this model in: no reason is given" in shown


def test_lines_do_not_bridge_a_day_that_was_not_judged():
    auc = re.search(r"<figcaption>AUC of the ranking model</figcaption>(.*?)</figure>", report(FULL)).group(1)
    assert len(re.findall(r'<path class="c0"', auc)) == 2  # 18 and 19; 21 alone
    assert len(re.findall(r'<circle class="c0"', auc)) == 3
    assert "2026-11-18" in auc and "2026-11-21" in auc and "2026-11-20" not in auc


def test_one_day_is_no_history():
    assert "The last weeks" not in report(replace(FULL, history={"20261121": MEASURES}))


def test_names_at_the_ends_of_lines_keep_apart():
    places = _apart([(100.0, 0), (101.0, 1), (99.0, 2), (20.0, 3)], 14, 120)
    ordered = sorted(places.values())
    assert all(after - before >= 15 for before, after in zip(ordered, ordered[1:], strict=False))
    assert ordered[-1] <= 120


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.61, 0.64), (0.0004, 0.0031), (0.5, 0.9999)])
def test_ticks_are_round_and_hold_the_range(low, high):
    ticks = _ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 6


def test_an_item_is_there_because_of_the_best_trigger_that_the_user_acted_on():
    of = {"etrec_u2i": {"7": [(0.9, "1"), (0.5, "2"), (0.4, "3")]}}
    titles = {"2": "Soup", "1": "Bread"}

    def why(sources, acted_on, item="7"):
        return reason(item, sources, acted_on, of, titles, solution())

    both = [("hot", 1), ("etrec_u2i", 4)]
    assert why(both, {"2", "3"}) == "Because of their click on “Soup”"
    assert why(both, {"3"}) == "Because of their click on “3”"  # without a title
    assert why(both, {"9"}) == "Popular with everyone"
    assert why([("etrec_u2i", 1), ("hot", 2)], set()) == "Similar to what they acted on"
    assert why([("catalog", 1)], {"2"}) == why([], set()) == "On offer"
