"""The report page: a pure function, safe to open anywhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from jobs.diagnostics.figure import Figure
from jobs.diagnostics.figure import Figures as DataFigures
from jobs.publish.report import Figures, Recommended, Sample, Step, report

HOSTILE = '<script src="http://example.org/x.js">'
FULL = Figures(
    scenario="home_page",
    ds="20261121",
    target="click",
    users=10,
    items=5,
    catalog=20,
    notes=["Lists are ordered by recall score: too little data to train."],
    funnel=[Step("expr", 1000, 50), Step("click", 100, 30)],
    measures={
        ("list", "hit_rate", 10): (0.31, 42),
        ("popularity", "hit_rate", 10): (0.12, 42),
        ("recall:etrec_u2i", "hit_rate", 10): (0.22, 42),
        ("ranking", "auc", 0): (0.7312, 1000),
        ("ranking", "gauc", 0): (None, 0),
        ("ranking", "null_auc_se", 0): (0.01, 1000),
        ("ranking:item_ctr", "auc", 0): (0.6, 1000),
    },
    sources=[("etrec_u2i", 30)],
    list_rows=50,
    model=[("trees", "211")],
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
    samples=[Sample(HOSTILE, [HOSTILE], [Recommended(1, "7", HOSTILE, 0.5, [("etrec_u2i", 3)])])],
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
    assert "<td>0.7312</td><td>–</td>" in report(FULL)


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
    assert "prefers-color-scheme: dark" in page
