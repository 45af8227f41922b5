"""The patterns of ids and names: the same to Python and to the other readers of the API's description."""

import re

import msgspec
import pytest
import regress

from backend.kit.schema import COMMAND_ID_PATTERN, ID_PATTERN, NAME_PATTERN, Name

NAMES = ["A", "आशा", "क्\u200dष", "👩\u200d👧", "❤\ufe0f", "é", "A\u200b", "x\u00adx", "\u202eabc"]
INVISIBLE = [
    *(
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u115f",
        "\u1160",
        "\u17b4",
        "\u180e",
        "\u200b",
        "\u200c",
        "\u200d",
        "\u200e",
    ),
    *(
        "\u202e",
        "\u2060",
        "\u2063",
        "\u2066",
        "\u206f",
        "\u2800",
        "\u3164",
        "\ufe0f",
        "\ufeff",
        "\uffa0",
        "\ufff0",
    ),
    *("\U0001bca0", "\U0001d173", "\U000e0001", "\U000e0041", "\U000e0100"),
]
ENDS = ["", " ", "\n", "\r", "\u2028", "\u00a0", "\ufeff", "\u200b"]


def accepted(text: str) -> bool:
    try:
        return bool(msgspec.convert(text, Name) == text)
    except msgspec.ValidationError:
        return False


class TestName:
    @pytest.mark.parametrize("text", NAMES)
    def test_shows_something(self, text: str) -> None:
        assert accepted(text)

    @pytest.mark.parametrize("text", INVISIBLE)
    def test_is_not_of_invisible_characters_alone(self, text: str) -> None:
        assert not accepted(text)
        assert not accepted(f"{text}{text}")
        assert not accepted(f"\u200b{text}\u2060 \u00ad")
        assert accepted(f"A{text}B")


class TestPatterns:
    @pytest.mark.parametrize("pattern", [ID_PATTERN, COMMAND_ID_PATTERN, NAME_PATTERN])
    def test_end_where_the_text_ends(self, pattern: str) -> None:
        assert re.search(pattern, "ses_1")
        assert not re.search(pattern, "ses_1\n")

    def test_say_the_same_in_ecmascript(self) -> None:
        """JSON Schema reads them with the flag `u`."""
        texts = [text + end for text in [*NAMES, "ses_1", "a b", "", "!~"] for end in ENDS]
        texts += [*INVISIBLE, *(text + "A" for text in INVISIBLE)]
        for pattern in (ID_PATTERN, COMMAND_ID_PATTERN, NAME_PATTERN):
            there = regress.Regex(pattern, "u")
            here = [re.search(pattern, text) is not None for text in texts]
            assert [there.find(text) is not None for text in texts] == here
            assert len(set(here)) == 2
