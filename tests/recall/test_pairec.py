"""Pairec's string forms."""

from jobs.recall.pairec import three_part, two_part

SIMILAR = [("10", 0.5), ("11", 1e-05), ("12", 3.0), ("13", 0.1 + 0.2)]


def test_i2i_tokens_have_two_parts_and_scores_read_back_to_the_same_double():
    text = two_part(SIMILAR)
    assert text == "10:0.5,11:1e-05,12:3.0,13:0.30000000000000004"
    assert [(item, float(score)) for item, score in (token.split(":") for token in text.split(","))] == SIMILAR


def test_hot_and_u2i_tokens_name_their_recall_in_between():
    assert three_part(SIMILAR[:2], "hot") == "10:hot:0.5,11:hot:1e-05"


def test_ids_that_would_break_the_form_are_left_out():
    assert two_part([("a:b", 1.0), ("c,d", 1.0), ("e", 1.0)]) == "e:1.0"


def test_nothing_is_an_empty_string():
    assert (two_part([]), three_part([], "hot")) == ("", "")
