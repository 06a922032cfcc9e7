"""The language of the filters of `publish`: a condition on a user, an item, and what the user did with it. Spark-free.

    item.stock <= 0                                     a column of the item table, by role
    user.age < 18 and item.category in ["adult"]        ... of the user table
    item.category in user.tags                          tags are a set of words
    context.weekday >= 5 or item.author is missing      of the request that is expected; weekday 0 is Monday
    days_since(click) <= 30 or count(praise, 7) > 2     the user's own events with the item

Also `== != < <= > >=` (`=` is `==`), `+ - * /`, `not in`, `is not missing`, `not`, parentheses, "text" or 'text'
(without escapes), numbers, true and false; a name of unusual letters stands in backticks: item.`click count`. Text is
only ever equal or not; nothing is converted. `days_since(click)` is 0 for a click on ds and missing when there was none
within its reach, `days_since(click, 60)` looks back 60 days; `count(click, 30)` is of the 30 days up to ds, 0 without.

Missing values are SQL's: what is computed of one is missing, `missing and false` is false, `missing or true` is true. A
number that is not finite is missing, so is the result of a division by zero.

What does not hold is refused by column (from 1) and name when the solution is loaded; nothing can be run by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jobs.lib.expression_tree import (
    COUNT,
    DAYS_SINCE,
    EQUAL,
    NUMBER,
    NUMBERS,
    ORDER,
    TEXT,
    TEXTS,
    TRUTH,
    Expression,
    Leaf,
    Names,
    comparison,
    membership,
    must_be,
)

MAX_LENGTH, MAX_DEPTH, MAX_REACH = 4000, 30, 400

_TOKEN = re.compile(
    r"""(?P<number>(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)|(?P<text>"[^"]*"|'[^']*')|`(?P<quoted>[^`]+)`"""
    r"""|(?P<word>[^\W\d]\w*)|(?P<sign>==|!=|<=|>=|[=<>+\-*/()\[\],.])"""
)
_WORDS = ("and", "or", "not", "in", "is", "missing", "true", "false")


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def parsed(text: str, names: Names) -> Expression:
    """A condition. Raises ValueError that says in one line what is wrong at which column, and what is allowed."""
    return must_be(Parser(text, names).whole(), TRUTH, "the whole expression")


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        found = _TOKEN.match(text, position)
        if found is None:
            what = "text that is not closed" if text[position] in "\"'" else f"{text[position]!r} means nothing"
            raise ValueError(f"{what} at column {position + 1}")
        yield Token(str(found.lastgroup), found[str(found.lastgroup)], position + 1)
        position = found.end()
    yield Token("end", "the end", len(text) + 1)


class Parser:
    """Recursive descent, loosest first: either (or), both (and), negated (not), compared, total, product, factor."""

    def __init__(self, text: str, names: Names) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the expression has {len(text)} characters; allowed: {MAX_LENGTH}")
        self.tokens, self.names, self.position, self.depth = list(_tokens(text)), names, 0, 0

    def whole(self) -> Expression:
        found = self.either()
        if self.token.kind != "end":
            raise self.unexpected("and, or, or the end")
        return found

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def unexpected(self, wanted: str) -> ValueError:
        return ValueError(
            f"{wanted} expected at column {self.token.at}, not {self.token.text!r}".replace("'the end'", "the end")
        )

    def taken(self, *texts: str) -> Token | None:
        """The next token if it is one of these signs or words."""
        token = self.token
        if token.kind not in ("sign", "word") or token.text not in texts:
            return None
        self.position += 1
        return token

    def required(self, text: str) -> Token:
        if found := self.taken(text):
            return found
        raise self.unexpected(repr(text))

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels at column {self.token.at}")

    def either(self) -> Expression:
        self.deeper()
        found = self.chained("or", self.both)
        self.depth -= 1
        return found

    def both(self) -> Expression:
        return self.chained("and", self.negated)

    def chained(self, word: str, part: Any) -> Expression:
        parts = [part()]
        while self.taken(word):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        return Expression(word, TRUTH, tuple(must_be(p, TRUTH, f"what `{word}` joins") for p in parts), at=parts[0].at)

    def negated(self) -> Expression:
        if word := self.taken("not"):
            self.deeper()
            operand = must_be(self.negated(), TRUTH, "what `not` turns round")
            self.depth -= 1
            return Expression("not", TRUTH, (operand,), at=word.at)
        return self.compared()

    def compared(self) -> Expression:
        left = self.total()
        if sign := self.taken(*ORDER, *EQUAL, "="):
            return comparison("==" if sign.text == "=" else sign.text, sign.at, left, self.total())
        if self.taken("is"):
            is_not = self.taken("not")
            self.required("missing")
            if left.kind in (TEXTS, NUMBERS):
                raise ValueError(f"a list is never missing, at column {left.at}")
            missing = Expression("missing", TRUTH, (left,), at=left.at)
            return Expression("not", TRUTH, (missing,), at=left.at) if is_not else missing
        is_not = self.taken("not")
        if word := self.taken("in"):
            among = membership(word.at, left, self.total())
            return Expression("not", TRUTH, (among,), at=left.at) if is_not else among
        if is_not:
            raise self.unexpected("'in'")
        return left

    def total(self) -> Expression:
        return self.computed(("+", "-"), self.product)

    def product(self) -> Expression:
        return self.computed(("*", "/"), self.factor)

    def computed(self, signs: tuple[str, ...], part: Any) -> Expression:
        found, terms = part(), 1
        while sign := self.taken(*signs):
            if (terms := terms + 1) > MAX_DEPTH:
                raise ValueError(f"more than {MAX_DEPTH} terms in a row at column {sign.at}")
            sides = tuple(must_be(side, NUMBER, f"a side of {sign.text}") for side in (found, part()))
            found = Expression(sign.text, NUMBER, sides, at=found.at)
        return found

    def factor(self) -> Expression:
        if sign := self.taken("-"):
            self.deeper()
            operand = must_be(self.factor(), NUMBER, "what follows -")
            self.depth -= 1
            if operand.op == "literal":
                return Expression("literal", NUMBER, value=-operand.value + 0.0, at=sign.at)
            return Expression("negative", NUMBER, (operand,), at=sign.at)
        if self.taken("("):
            inner = self.either()
            self.required(")")
            return inner
        if sign := self.taken("["):
            return self.listed(sign.at)
        return self.value()

    def listed(self, at: int) -> Expression:
        values = [self.literal()]
        while self.taken(","):
            values.append(self.literal())
        self.required("]")
        for value in values[1:]:
            if value.kind != values[0].kind:
                raise ValueError(f"a list holds text only or numbers only: column {value.at} is {value.kind}")
        return Expression("list", TEXTS if values[0].kind == TEXT else NUMBERS, value=[v.value for v in values], at=at)

    def literal(self) -> Expression:
        """Text or a number, as lists hold them."""
        found = self.factor()
        if found.op != "literal" or found.kind == TRUTH:
            raise ValueError(f"a list holds text and numbers as written, not {found.kind} at column {found.at}")
        return found

    def value(self) -> Expression:
        token = self.token
        self.position += 1
        if token.kind == "number":
            if not math.isfinite(number := float(token.text)):
                raise ValueError(f"the number at column {token.at} is too large")
            return Expression("literal", NUMBER, value=number, at=token.at)
        if token.kind == "text":
            return Expression("literal", TEXT, value=token.text[1:-1], at=token.at)
        if token.kind == "word" and token.text in ("true", "false"):
            return Expression("literal", TRUTH, value=token.text == "true", at=token.at)
        if token.kind == "word" and token.text in (DAYS_SINCE, COUNT):
            return self.own_events(token)
        if token.kind == "word" and token.text not in _WORDS:
            return self.column(token)
        self.position -= 1
        raise self.unexpected("a value")

    def column(self, side: Token) -> Expression:
        known = self.names.columns
        if side.text not in known:
            allowed = ", ".join(
                [*(f"{name}.<column>" for name in known), f"{DAYS_SINCE}(event)", f"{COUNT}(event, days)"]
            )
            raise ValueError(f"unknown name {side.text!r} at column {side.at}; allowed: {allowed}")
        self.required(".")
        name = self.token
        if name.kind not in ("word", "quoted"):
            raise self.unexpected(f"a column of {side.text}")
        self.position += 1
        if name.text not in known[side.text]:
            columns = ", ".join(known[side.text]) or f"none, the solution has no {side.text} table"
            raise ValueError(f"{side.text} has no column {name.text!r} at column {name.at}; there are: {columns}")
        return Expression("leaf", known[side.text][name.text], value=Leaf(side.text, name.text), at=side.at)

    def own_events(self, function: Token) -> Expression:
        self.required("(")
        event, known = self.token, self.names.events
        if event.kind not in ("word", "text", "quoted"):
            raise self.unexpected("an event")
        self.position += 1
        name = event.text[1:-1] if event.kind == "text" else event.text
        if name not in known:
            raise ValueError(f"unknown event {name!r} at column {event.at}; allowed: {', '.join(known)}")
        days = self.names.reach if function.text == DAYS_SINCE else None
        if days is None or self.token.text == ",":
            self.required(",")
            at, given = self.token.at, self.factor()
            days = given.value if given.op == "literal" and given.kind == NUMBER else math.nan
            if days not in range(1, MAX_REACH + 1):
                raise ValueError(f"a whole number of days from 1 to {MAX_REACH} expected at column {at}")
        self.required(")")
        return Expression("leaf", NUMBER, value=Leaf(function.text, name, int(days)), at=function.at)
