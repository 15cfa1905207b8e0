"""What tokens cost: the price table that comes with the package, and a quote before anything is paid."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

import yaml

_SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{3,4}|latest)")
"""What may follow a model's name without making it another model: -2024-07-18, @20240620, -0613, -001, -latest."""


@dataclass(frozen=True)
class Price:
    """The price of a model.

    Args:
        input: USD per million tokens in.
        output: USD per million tokens out.
        source: the page that says so, if known.
        as_of: the day that it said so, if known.
    """

    input: float
    output: float
    source: str | None = None
    as_of: date | None = None

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """USD for that many tokens, rounded once from the exact decimal, so that a limit can be met to the cent."""
        return float((_decimal(self.input) * tokens_in + _decimal(self.output) * tokens_out) / 1_000_000)


@dataclass(frozen=True)
class Quote:
    """The expected calls, tokens and cost of a piece of work.

    Args:
        cost: USD, or None where the model's price is not known.
    """

    calls: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def __str__(self) -> str:
        cost = "price unknown" if self.cost is None else f"about {dollars(self.cost)}"
        return f"{self.calls:,} calls, {self.tokens_in:,} tokens in, {self.tokens_out:,} tokens out, {cost}"


def price_of(model: str, overrides: Mapping[str, Price] | None = None) -> Price | None:
    """A model's price: of the longest name that begins the model's own, dated snapshots being the same model.

    "gpt-4o-mini-2024-07-18" finds "gpt-4o-mini". "gpt-4o-audio-preview" does not find "gpt-4o": what a name goes on
    with other than a date or a version may cost ten times as much.

    Args:
        model: as the endpoint names it.
        overrides: by model name, instead of the package's prices and beside them.

    Returns:
        The price, or None where it is not known: never a guess, and never 0.
    """
    known = {**_table(), **(overrides or {})}
    fitting = [
        name
        for name in known
        if model == name or (model.startswith(name) and _SNAPSHOT.fullmatch(model, pos=len(name)))
    ]
    return known[max(fitting, key=len)] if fitting else None


def quote(calls: Iterable[tuple[int, int]], price: Price | None) -> Quote:
    """The sum of some calls.

    Args:
        calls: tokens in and out that each is expected to take.
        price: the price of the model, if known.
    """
    count = tokens_in = tokens_out = 0
    for call_in, call_out in calls:
        count += 1
        tokens_in += call_in
        tokens_out += call_out
    return Quote(count, tokens_in, tokens_out, None if price is None else price.cost(tokens_in, tokens_out))


def dollars(amount: float) -> str:
    """USD for people: to the cent, or to two digits where it is less than that."""
    decimals = 2 if amount == 0 or amount >= 1 else max(2, 1 - math.floor(math.log10(amount)))
    return f"${amount:,.{decimals}f}"


@cache
def _table() -> dict[str, Price]:
    text = files("rankstill.teacher").joinpath("prices.yaml").read_text(encoding="utf-8")
    return {name: Price(**fields) for name, fields in yaml.safe_load(text).items()}


def _decimal(number: float) -> Decimal:
    # By its shortest digits, as it was written: Decimal(0.1) would be the binary fraction nearest to 0.1.
    return Decimal(repr(number))
