import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.tasks import quantities

decimals = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**4)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("26.", "26"),
        ("$1,234.50 dollars.", "1234.5"),
        ("-5", "-5"),
        ("− 5.", "-5"),
        ("minus 5", "-5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("1 1/2 cups", "1.5"),
        ("3/4.", "0.75"),
        ("½", "0.5"),
        ("2½ cups", "2.5"),
        (r"\frac{3}{4}.", "0.75"),
        (r"$2\frac{1}{2}$.", "2.5"),
        (r"1{,}000", "1000"),
        (r"\$5.00", "5"),
        (r"5 \text{ dollars}", "5"),
        ("20%.", "20"),
        ("1.2 million people", "1200000"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("Rs. 50", "50"),
        ("x = 12", "12"),
        ("30 - 4 = 26 apples.", "26"),
        ("26, because 30 - 4 = 26.", "26"),
        ("7 (since 3 + 4 = 7).", "7"),
        ("$18 per day = $126 per week", "126"),
        ("26 apples in 3 boxes", "26"),
        ("that Natalia sold 72 clips.", "72"),
        ("12 m^2.", "12"),
        ("7 more than Tom has.", "7"),
        ("7 more apples.", "7"),
        ("26, which is more than 20.", "26"),
        ("26, more than 20.", "26"),
        ("26 (at least 20).", "26"),
        ("26, because 30 is more than 4.", "26"),
        ("26 rather than 27.", "26"),
        ("<b>26</b>", "26"),
        ("twelve.", "12"),
        ("twenty-five apples", "25"),
        ("30 - 4.", "26"),
        ("3 * (4 + 2).", "18"),
        ("2(3 + 4)", "14"),
        (r"2\sqrt{3}.", "3.464102"),
        ("2^3.", "8"),
        ("1,000 + 2", "1002"),
    ],
)
def test_reads_the_number_that_is_stated(body: str, value: str) -> None:
    stated, outcome = quantities.stated(body)
    assert outcome is ParseOutcome.PARSED
    assert stated is not None
    assert quantities.plain(stated) == value


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("5 or 6.", ParseOutcome.AMBIGUOUS),
        ("5 to 6 apples", ParseOutcome.AMBIGUOUS),
        ("5-6", ParseOutcome.AMBIGUOUS),
        ("5 feet 6 inches", ParseOutcome.AMBIGUOUS),
        ("12 apples and 3 pears", ParseOutcome.AMBIGUOUS),
        ("x = 3, y = 4", ParseOutcome.AMBIGUOUS),
        ("11/22/2024", ParseOutcome.AMBIGUOUS),
        ("3:30", ParseOutcome.AMBIGUOUS),
        ("five or six", ParseOutcome.AMBIGUOUS),
        ("less than 90.", ParseOutcome.AMBIGUOUS),
        ("more than $90", ParseOutcome.AMBIGUOUS),
        ("greater than or equal to 90.", ParseOutcome.AMBIGUOUS),
        ("7 more than 83.", ParseOutcome.AMBIGUOUS),
        ("7 more apples than 83.", ParseOutcome.AMBIGUOUS),
        ("seven more than 83.", ParseOutcome.AMBIGUOUS),
        ("less than ninety.", ParseOutcome.AMBIGUOUS),
        ("at least 90 apples", ParseOutcome.AMBIGUOUS),
        ("that he needs at most 90.", ParseOutcome.AMBIGUOUS),
        ("90 or more.", ParseOutcome.AMBIGUOUS),
        ("over 90.", ParseOutcome.AMBIGUOUS),
        ("not 90.", ParseOutcome.AMBIGUOUS),
        ("x < 90", ParseOutcome.AMBIGUOUS),
        ("x >= 90", ParseOutcome.AMBIGUOUS),
        ("≤ 90", ParseOutcome.AMBIGUOUS),
        (r"$x \geq 90$", ParseOutcome.AMBIGUOUS),
        ("blue.", ParseOutcome.NO_CONCLUSION),
        ("", ParseOutcome.NO_CONCLUSION),
        ("1/0", ParseOutcome.NO_CONCLUSION),
        ("9" * 50, ParseOutcome.NO_CONCLUSION),
        ("9^9^9^9", ParseOutcome.NO_CONCLUSION),
        ("2^99999 + 1", ParseOutcome.NO_CONCLUSION),
        (r"\sqrt{-4}", ParseOutcome.NO_CONCLUSION),
        ("one of them", ParseOutcome.NO_CONCLUSION),
        ("__import__('os').getcwd()", ParseOutcome.NO_CONCLUSION),
    ],
)
def test_says_why_no_number_is_stated(body: str, outcome: ParseOutcome) -> None:
    assert quantities.stated(body) == (None, outcome)


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ("52 + 38.", False),
        ("(52 + 38)", False),
        ("$52 + 38$.", False),
        ("x = 52 + 38", False),
        ("3 * (4 + 2).", False),
        ("1/2 + 1/3", False),
        (r"9 \times 10.", False),
        ("2^3.", False),
        ("180/2.", False),
        (r"\frac{180}{2} apples.", False),
        ("52 + 38 = 90.", True),
        ("90 = 52 + 38.", True),
        ("x = 90", True),
        ("90.", True),
        ("-90", True),
        ("$1,234.50 dollars.", True),
        ("3/4", True),
        ("1 1/2", True),
        (r"\frac{3}{4}.", True),
        (r"2\sqrt{3}.", True),
        (r"3 \times 10^8", True),
        ("ninety.", True),
        ("90, because 52 + 38 = 90.", True),
    ],
)
def test_knows_a_number_from_a_sum_that_is_left_to_do(body: str, written: bool) -> None:
    assert quantities.stated(body)[1] is ParseOutcome.PARSED
    assert quantities.worked_out(body) is written


@pytest.mark.parametrize("body", ["12", "$", "3 + 4 =", "1,", "-", "3/"])
def test_a_number_may_be_cut_in_half(body: str) -> None:
    assert quantities.stated(body, cut=True) == (None, ParseOutcome.TRUNCATED)


def test_a_number_that_is_closed_was_not_cut() -> None:
    assert quantities.stated("12.", cut=True) == (Fraction(12), ParseOutcome.PARSED)
    assert quantities.stated("12 apples", cut=True) == (Fraction(12), ParseOutcome.PARSED)


@given(decimals)
def test_a_plain_number_reads_back_within_the_tolerance(value: Fraction) -> None:
    text = quantities.plain(value)
    for form in (text, f"{text}.", f"${text}" if value > 0 else text, f"{text} apples"):
        stated, outcome = quantities.stated(form)
        assert outcome is ParseOutcome.PARSED
        assert stated is not None
        assert quantities.same(stated, value)


@given(st.integers(-(10**12), 10**12))
def test_thousands_commas_change_nothing(value: int) -> None:
    assert quantities.number(f"{value:,}") == value
    assert quantities.stated(f"{value:,}.")[0] == value


@given(decimals, decimals)
def test_two_different_numbers_are_never_told_apart(first: Fraction, second: Fraction) -> None:
    stated, outcome = quantities.stated(f"{quantities.plain(first)} or {quantities.plain(second)}.")
    if quantities.plain(first) == quantities.plain(second):
        assert stated == Fraction(quantities.plain(first))
    elif not quantities.same(first, second):
        assert outcome is ParseOutcome.AMBIGUOUS


@given(st.integers(0, 99), st.integers(1, 99), st.integers(1, 99))
def test_mixed_numbers_and_fractions(whole: int, top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    assert quantities.stated(f"{top}/{bottom}")[0] == value
    assert quantities.stated(rf"\frac{{{top}}}{{{bottom}}}")[0] == value
    assert quantities.stated(f"{whole} {top}/{bottom}")[0] == whole + value


@given(decimals)
def test_plain_is_a_fixed_point(value: Fraction) -> None:
    text = quantities.plain(value)
    assert quantities.plain(Fraction(text)) == text
    assert "e" not in text.lower()


def test_the_tolerance_is_absolute() -> None:
    assert quantities.same(Fraction("0.3333"), Fraction(1, 3))
    assert not quantities.same(Fraction("0.333"), Fraction(1, 3))
    assert not quantities.same(Fraction(10**9), Fraction(10**9) + Fraction(1, 100))


def test_number_takes_nothing_but_a_number() -> None:
    assert [quantities.number(text) for text in ("18", " $5 ", "20%", "1/4")] == [18, 5, 20, Fraction(1, 4)]
    assert [quantities.number(text) for text in ("18 apples", "", "x", "1 2")] == [None] * 4


def test_the_last_number_of_a_text() -> None:
    assert quantities.last("He has 3 and buys 4, so 7.") == 7
    assert quantities.last("None at all.") is None


@given(st.text(alphabet="0123456789.,+-*/^(){}$=%\\ fracsqrtpi", max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    value, outcome = quantities.stated(text)
    assert (value is None) == (outcome is not ParseOutcome.PARSED)
    last = quantities.last(text)
    assert last is None or abs(last) < 10**143


def test_expressions_are_read_outside_the_main_thread() -> None:
    found: list[Fraction | None] = []
    threads = [threading.Thread(target=lambda: found.append(quantities.stated(r"2\sqrt{4} + 1")[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5, 5, 5, 5]
