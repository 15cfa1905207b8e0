from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.teacher.prices import Price, _table, price_of, quote


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4.1-nano-2025-04-14", "gpt-4.1-nano"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
    ],
)
def test_a_dated_snapshot_has_its_models_price(model: str, name: str) -> None:
    assert price_of(model) == price_of(name) is not None


def test_the_longest_name_that_fits_counts() -> None:
    first, second = price_of("gpt-4o-2024-05-13"), price_of("gpt-4o-2024-08-06")
    assert (first, second) != (None, None)
    assert first != second == price_of("gpt-4o")


@pytest.mark.parametrize(
    "model", ["gpt-9", "", "gpt-4o-audio-preview", "o3-pro", "gpt-4.1-giant", "local-7b", "openai"]
)
def test_an_unknown_model_has_no_price_rather_than_a_price_of_nothing(model: str) -> None:
    assert price_of(model) is None


def test_the_users_own_price_counts_before_the_packages() -> None:
    mine = {"gpt-4o": Price(1, 2), "my-model": Price(0, 0)}
    assert price_of("gpt-4o-2024-08-06", mine) == Price(1, 2)
    assert price_of("my-model", mine) == Price(0, 0)
    assert price_of("gpt-4o-mini", mine) == price_of("gpt-4o-mini")
    assert price_of("my-other-model", mine) is None


def test_every_price_of_the_package_says_where_it_is_from_and_when() -> None:
    for name, price in _table().items():
        assert isinstance(price.as_of, date), name
        assert price.source is not None, name
        assert price.source.startswith("https://"), name
        assert (price.input > 0 and price.output >= price.input) or name == "local", name


def test_a_cost_is_tokens_times_price() -> None:
    assert Price(0.15, 0.60).cost(2_000_000, 500_000) == 0.60
    assert Price(0.1, 0.2).cost(1, 1) * 1_000_000 == pytest.approx(0.3)


def test_a_sum_of_costs_does_not_drift_from_what_it_is_in_decimal() -> None:
    assert 0.1 + 0.1 + 0.1 != 0.3
    assert Price(0.1, 0).cost(3_000_000, 0) == 0.3


def test_a_quote_adds_up() -> None:
    whole = quote(((1000, 50) for _ in range(1000)), Price(0.15, 0.60))
    assert (whole.calls, whole.tokens_in, whole.tokens_out, whole.cost) == (1000, 1_000_000, 50_000, 0.18)
    assert str(whole) == "1,000 calls, 1,000,000 tokens in, 50,000 tokens out, about $0.18"


def test_a_quote_without_a_price_says_so() -> None:
    assert quote([(10, 1)], None).cost is None
    assert str(quote([(10, 1)], None)).endswith("price unknown")


def test_a_small_quote_is_not_shown_as_nothing() -> None:
    assert str(quote([(100, 10)], Price(0.15, 0.60))).endswith("about $0.000021")
    assert str(quote([(100, 10)], Price(0, 0))).endswith("about $0.00")
    assert str(quote([(10**9, 0)], Price(1.5, 1))).endswith("about $1,500.00")


@given(st.floats(0, 1000), st.integers(0, 10**12), st.integers(0, 10**6))
def test_more_tokens_never_cost_less(price: float, tokens: int, more: int) -> None:
    each = Price(price, 1)
    assert each.cost(tokens + more, tokens) >= each.cost(tokens, tokens)
    assert each.cost(tokens, tokens + more) >= each.cost(tokens, tokens)
