"""Which passwords are refused, without I/O."""

import string
import time
import unicodedata

import pytest

from backend.accounts.strength import password_fault

CONTACTS = ["+919876543210", "asha.verma+shop@example.com"]


@pytest.mark.parametrize(
    "password",
    [
        "blue mangoes at dawn",
        "correct horse 42",
        "x7Kq9wPz",
        "नीले आम की सुबह",
        "青い芒果の夜明けに",
        "🥭🌅🐘🌙🌊🍛🎏🪁",
        "ნაცარა ცხენი",
        "é~" * 3 + "ünïcödé",
        (string.ascii_letters + string.digits)[::-7] + "é" * 119,
    ],
)
def test_takes_any_script(password: str) -> None:
    assert password_fault(password, CONTACTS, "Asha Verma") is None


@pytest.mark.parametrize("password", ["", "seven77", "x7Kq9wPz" * 16 + "x"])
def test_refuses_wrong_lengths(password: str) -> None:
    assert password_fault(password, []) == "A password has 8 to 128 characters."


def test_counts_after_normalising() -> None:
    seven = unicodedata.normalize("NFD", "éèêëàâü")
    assert len(seven) == 14
    assert password_fault(seven, []) == "A password has 8 to 128 characters."


@pytest.mark.parametrize(
    "password",
    [
        *(
            "password",
            "PassWord123",
            "12345678",
            "Qwertyuiop",
            "india@123",
            "P@ssw0rd!",
            "iloveyou2",
            "trustno1",
        ),
        *("Krishna@123", "Bharat 2024", "welcome@123", "admin@123", "abcd@1234", "kolkata2024", "bismillah"),
        *("qless123", "QLess@2026", "drowssap", "letmein!!", "1qaz2wsx", "zxcvbnm,./", "11/11/1990"),
    ],
)
def test_refuses_what_is_common_however_it_is_dressed_up(password: str) -> None:
    assert password_fault(password, []) is not None


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "é" * 128,
        "abcabcabcabc",
        "🥭🌅🥭🌅🥭🌅🥭🌅",
        "१२३४५६७८",
        "अआइईउऊऋऌ",
        "ａｂｃｄ１２３４",
        "abcd1234" * 16,
    ],
)
def test_refuses_repeats_and_sequences_of_any_script(password: str) -> None:
    assert password_fault(password, []) is not None


@pytest.mark.parametrize(
    "password", ["asha.verma rules", "my ASHA.Verma 1", "call 9876543210", "x+919876543210", "76543210xx"]
)
def test_refuses_ones_own_contacts(password: str) -> None:
    assert password_fault(password, CONTACTS) is not None


@pytest.mark.parametrize("password", ["Thangamani1", "thangamani@12", "THANGAMANI 1998"])
def test_refuses_ones_own_name(password: str) -> None:
    assert password_fault(password, []) is None
    assert password_fault(password, [], "Thangamani Pillai") is not None


def test_a_very_short_local_part_forbids_nothing() -> None:
    assert password_fault("banana boat trip", ["ana@example.com"]) is None


def test_none_takes_long_to_judge() -> None:
    worst = 0.0
    for password in ("a" * 128, "1qaz2wsx3edc4rfv" * 8, "password" * 16, "x7Kq9wPz" * 16, "@4$3!" * 25):
        began = time.perf_counter()
        password_fault(password, CONTACTS, "Asha Verma")
        worst = max(worst, time.perf_counter() - began)
    assert worst < 0.1
