"""The formula language of the hot recalls: arithmetic over named aggregates, and nothing else."""

from functools import partial

import pytest

from jobs.lib.errors import SolutionError
from jobs.lib.solution import load_solution
from jobs.lib.yaml_model import read_yaml
from jobs.recall import formula as language
from jobs.recall import hot, trending
from jobs.recall.formula import Aggregate
from tests.features.builders import HOME_PAGE

HOT, TRENDING = hot.Params.NAMES, trending.Params.NAMES
check_formula, to_sql = (partial(function, names=HOT) for function in (language.check_formula, language.to_sql))


def test_names_become_columns_numbers_doubles_and_division_cannot_fail():
    assert to_sql("click_uv / (expr + 2) - -exp(1e-3)") == (
        "(try_divide(`click_uv`, (`expr` + 2.0D)) - (- exp(0.001D)))"
    )
    assert to_sql("least(pow(target_cnt, .5), 3)") == "least(pow(`target_cnt`, 0.5D), 3.0D)"


def test_precedence_is_that_of_arithmetic():
    assert to_sql("1 + 2 * 3") == "(1.0D + (2.0D * 3.0D))"
    assert to_sql("1 - 2 - 3") == "((1.0D - 2.0D) - 3.0D)"


def test_a_formula_over_several_lines_is_one_expression():
    assert check_formula("click_uv\n  + praise_uv\n") == "click_uv + praise_uv"


def test_aggregates_are_found_with_their_event():
    named = "click_uv * add_to_cart_cnt + target_uv / (expr + adj_factor) - before_click_cnt"
    assert language.aggregates(named, HOT) == {
        "add_to_cart_cnt": Aggregate("", "add_to_cart", "cnt"),
        "before_click_cnt": Aggregate("", "before_click", "cnt"),  # hot knows one window: an event of that name
        "click_uv": Aggregate("", "click", "uv"),
        "expr": Aggregate("", None, "cnt"),
        "target_uv": Aggregate("", "target", "uv"),
    }
    assert language.events_of(named, HOT) == {"add_to_cart", "before_click", "click"}
    assert language.events_of(hot.FORMULA, HOT) == set()


def test_each_recall_says_which_names_and_windows_it_knows():
    formula = "before_click_uv / before_expr - smoothing * before_target_cnt"
    assert language.aggregates(language.check_formula(formula, TRENDING), TRENDING) == {
        "before_click_uv": Aggregate("before_", "click", "uv"),
        "before_expr": Aggregate("before_", None, "cnt"),
        "before_target_cnt": Aggregate("before_", "target", "cnt"),
    }
    for text, named in (("smoothing", "'smoothing' at column 1"), ("1 + before_expr", "'before_expr' at column 5")):
        with pytest.raises(ValueError, match=named):
            check_formula(text)
    with pytest.raises(ValueError, match="'adj_factor' at column 1; allowed: .*before_<event>_uv.*smoothing"):
        language.check_formula("adj_factor", TRENDING)


@pytest.mark.parametrize(
    ("formula", "named"),
    [
        ("__import__('os').system('id')", "column 1"),
        ("click_uv + secret", "'secret' at column 12"),
        ("click_uv); DROP TABLE t; --", "column 9"),
        ("click_uv; expr", "column 9"),
        ("(SELECT 1)", "column"),
        ("click_uv -- comment", "'comment'"),
        ("'a'", "\"'a'\" at column 1"),
        ("java_method('java.lang.System', 'exit', 1)", "'java_method' at column 1"),
        ("reflect(expr)", "'reflect' at column 1"),
        ("exp(expr, expr)", "exp at column 1 takes 1 argument"),
        ("exp()", "exp at column 1 takes 1 argument"),
        ("least(expr)", "least at column 1 takes two or more"),
        ("exp(*expr)", "'*expr' at column 5"),
        ("exp(x=1)", "exp at column 1"),
        ("expr ** 2", "'expr ** 2' at column 1"),
        ("expr % 2", "at column 1"),
        ("expr // 2", "at column 1"),
        ("expr > 2", "at column 1"),
        ("expr if expr else 1", "at column 1"),
        ("+expr", "at column 1"),
        ("expr.__class__", "'expr.__class__' at column 1"),
        ("expr[0]", "at column 1"),
        ("[expr]", "at column 1"),
        ("lambda: 1", "at column 1"),
        ("(expr := 1)", "at column 2"),
        ("True", "'True' at column 1"),
        ("None", "at column 1"),
        ("1j", "at column 1"),
        ("1e999", "number at column 1 is too large"),
        ("9" * 400, "number at column 1 is too large"),
        ("Click_UV", "'Click_UV' at column 1"),
        ("`click_uv`", "column 1"),
        ("click_uv\x00", "not an expression"),
        ("", "not an expression"),
        ("1" + "+1" * 40, "deeper than 30 levels"),
        ("(" * 240 + "1" + ")" * 240, "not an expression"),
        ("-" * 400 + "1", "deeper than 30 levels"),
        ("1+" * 300 + "1", "601 characters"),
    ],
)
def test_anything_else_is_refused_by_name_and_position(formula, named):
    with pytest.raises(ValueError) as refused:
        check_formula(formula)
    assert named in str(refused.value)


def test_a_bad_formula_is_refused_when_the_solution_is_loaded_naming_file_and_line(tmp_path):
    import yaml

    file = tmp_path / "solution.yaml"
    hot = {"name": "hot", "job": "hot", "formula": "click_uv * rand()"}
    file.write_text(yaml.safe_dump(HOME_PAGE | {"recalls": [hot], "publish": {"fallback": None}}))
    assert read_yaml(file)
    with pytest.raises(SolutionError) as refused:
        load_solution(file)
    assert str(file) in str(refused.value) and "formula: unknown function 'rand' at column 12" in str(refused.value)
