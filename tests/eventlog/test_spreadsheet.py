"""Text that a spreadsheet could run is made harmless. Other text does not change."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.reading.spreadsheet import harmless

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−"
INVISIBLE = [
    "\u200b", "\ufeff", "\u200d", "\u2060", "\u00ad", "\u202e", "\u2066", "\u180e", "\u034f",
    "\ufe0f", "\u3164", "\u2800", "\U000e0020", "\x00", "\x1f", "\x7f", " ", "\u00a0", "\u3000",
    "\u2028", "\t", "\r", "\n", "\x0b", "\u200b \u202e",
]  # fmt: skip


@pytest.mark.parametrize("sign", SIGNS)
def test_a_formula_sign(sign: str) -> None:
    assert harmless(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize("before", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("sign", ["=", "＝"])
def test_a_formula_sign_after_invisible_characters(before: str, sign: str) -> None:
    assert harmless(f"{before}{sign}1").startswith("'")


@pytest.mark.parametrize("control", ["\t", "\r", "\n"])
def test_a_leading_control_character(control: str) -> None:
    assert harmless(f"{control}1+1") == f"'{control}1+1"


@pytest.mark.parametrize("separator", [";", "\t", "\r", "\n"])
def test_a_formula_sign_after_a_separator(separator: str) -> None:
    assert harmless(f"laptop{separator} =1") == f"laptop{separator}' =1"


@pytest.mark.parametrize("text", [
    "", "laptop", "Ådas Gerät", "HTTP 503 Service Unavailable", "https://x.example/?a=-1&b=@c",
    "a - b", "1+1", "compliant deleted", "2026-11-23T12:00:00.004Z", "ada@acme.example",
    "too late; then closed", "'quoted'", "…", "日本語",
])  # fmt: skip
def test_other_text_does_not_change(text: str) -> None:
    assert harmless(text) == text


@given(st.lists(st.sampled_from([*SIGNS, *"a1', ;", *INVISIBLE])).map("".join))
def test_no_text_is_lost_and_no_cell_starts_a_formula(text: str) -> None:
    guarded = harmless(text)

    assert guarded.replace("'", "") == text.replace("'", "")
    for cell in re.split(r"[;\t\r\n]", guarded):
        assert not cell.lstrip("".join(INVISIBLE)).startswith(tuple(SIGNS))
