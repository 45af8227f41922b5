"""What every slice builds on: ids, money, keys, strict decoding, bounded fields, QR codes, loops that go on."""

import asyncio
import re
import string
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Annotated, Any

import pytest
import zxingcpp
from cryptography.fernet import InvalidToken
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from backend.errors import InvalidField, MalformedBody
from backend.kit import tasks
from backend.kit.clock import SystemClock, to_milliseconds
from backend.kit.ids import new_id
from backend.kit.money import DIGITS, MAX_MINOR, divide_half_up, to_major
from backend.kit.qr import qr_svg
from backend.kit.schema import CommandId, Id, Input, Name, Quantity
from backend.kit.secrets import Keyring, digest, random_token, same
from backend.kit.strict import decode_strict
from backend.kit.tasks import Background
from tests.drawing import draw
from tests.factories import NOW

amounts = st.integers(-(10**15), 10**15)


class TestNewId:
    def test_is_its_prefix_and_twenty_plain_characters(self) -> None:
        assert re.fullmatch(r"ses_[0-9a-hjkmnp-tv-z]{20}", new_id("ses"))

    def test_is_accepted_as_an_id_of_ours(self) -> None:
        assert decode_strict(f'"{new_id("ses")}"'.encode(), Id)

    def test_never_comes_twice(self) -> None:
        assert len({new_id("x") for _ in range(100_000)}) == 100_000

    def test_sorts_by_the_millisecond_of_its_making(self) -> None:
        made = []
        for _ in range(20):
            made.append(new_id("x"))
            time.sleep(0.002)
        assert made == sorted(made)


class TestDivideHalfUp:
    @given(amounts, st.integers(1, 10**9))
    def test_is_the_exact_quotient_rounded_half_away_from_zero(
        self, numerator: int, denominator: int
    ) -> None:
        rounded = divide_half_up(numerator, denominator)
        exact = Fraction(numerator, denominator)
        assert abs(rounded - exact) <= Fraction(1, 2)
        if abs(rounded - exact) == Fraction(1, 2):
            assert abs(rounded) > abs(exact)

    @given(amounts, st.sampled_from([1, 2, 5, 10, 100, 10_000]))
    def test_is_what_decimal_calls_half_up(self, numerator: int, denominator: int) -> None:
        exact = Decimal(numerator) / denominator
        assert divide_half_up(numerator, denominator) == exact.quantize(Decimal(1), ROUND_HALF_UP)

    @pytest.mark.parametrize(
        ("numerator", "expected"), [(0, 0), (1, 1), (-1, -1), (3, 2), (-3, -2), (4, 2), (5, 3)]
    )
    def test_takes_halves_away_from_zero(self, numerator: int, expected: int) -> None:
        assert divide_half_up(numerator, 2) == expected


class TestToMajor:
    @given(st.integers(-MAX_MINOR, MAX_MINOR), st.sampled_from(sorted(DIGITS)))
    def test_loses_nothing_and_shows_every_minor_digit(self, amount_minor: int, currency: str) -> None:
        text = to_major(amount_minor, currency)
        assert Decimal(text).scaleb(DIGITS[currency]) == amount_minor
        assert re.fullmatch(rf"-?\d+\.\d{{{DIGITS[currency]}}}", text)

    @pytest.mark.parametrize(
        ("amount_minor", "text"),
        [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (123_450, "1234.50"), (-100, "-1.00")],
    )
    def test_is_plain_decimal(self, amount_minor: int, text: str) -> None:
        assert to_major(amount_minor, "INR") == text


class TestKeyring:
    ring = Keyring("root secret of these tests, long enough")

    def test_gives_each_purpose_a_key_of_its_own(self) -> None:
        keys = {self.ring.key(purpose) for purpose in ("", "quote", "quotes", "access-token")}
        assert len(keys) == 4
        assert {len(key) for key in keys} == {32}

    def test_gives_the_same_keys_in_every_process(self) -> None:
        again = Keyring("root secret of these tests, long enough")
        assert again.key("quote") == self.ring.key("quote")
        assert again.sign("quote", b"message") == self.ring.sign("quote", b"message")

    def test_gives_other_keys_to_another_root(self) -> None:
        other = Keyring("root secret of these tests, long enougH")
        assert other.key("quote") != self.ring.key("quote")

    def test_signs_a_message_for_one_purpose(self) -> None:
        signature = self.ring.sign("quote", b"message")
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", signature)
        assert signature not in {self.ring.sign("quote", b"messagE"), self.ring.sign("refund", b"message")}

    def test_opens_only_what_it_sealed_for_the_purpose(self) -> None:
        sealed = self.ring.sealer("exit-keys").encrypt(b"private")
        assert b"private" not in sealed
        assert self.ring.sealer("exit-keys").decrypt(sealed) == b"private"
        with pytest.raises(InvalidToken):
            self.ring.sealer("other").decrypt(sealed)
        with pytest.raises(InvalidToken):
            self.ring.sealer("exit-keys").decrypt(bytes([*sealed[:-1], sealed[-1] ^ 1]))


class TestTokens:
    def test_are_random_and_go_into_an_url_as_they_are(self) -> None:
        tokens = {random_token() for _ in range(1_000)}
        assert len(tokens) == 1_000
        assert set("".join(tokens)) <= {*string.ascii_letters, *string.digits, "-", "_"}
        assert {len(token) for token in tokens} == {32}

    def test_are_stored_as_their_digest(self) -> None:
        assert digest("a") == digest("a") != digest("b")

    def test_are_compared_whatever_characters_they_hold(self) -> None:
        assert same("छोटू", "छोटू")
        assert not same("छोटू", "a")


class Order(Input, frozen=True):
    """A body with one field of each kind."""

    count: Quantity = 1
    big: Annotated[int, Meta(ge=0, le=2**53)] = 0
    name: Name = "Asha"
    notes: tuple[str, ...] = ()


def faults(body: bytes) -> list[dict[str, str]]:
    with pytest.raises(InvalidField) as caught:
        decode_strict(body, Order)
    return caught.value.errors


class TestStrictDecoding:
    def test_reads_what_fits(self) -> None:
        assert decode_strict('{"count": 2, "name": "आशा"}'.encode(), Order) == Order(count=2, name="आशा")

    @pytest.mark.parametrize("value", ['"1"', "1.0", "1e0", "true", "null", "[1]", "{}"])
    def test_takes_nothing_for_a_whole_number_that_is_none(self, value: str) -> None:
        assert faults(f'{{"count": {value}}}'.encode())[0]["field"] == "$.count"

    @pytest.mark.parametrize("value", [0, -1, 1_000, 2**63, 2**64, 2**70, -(2**70), 10**400])
    def test_refuses_numbers_out_of_range_however_large(self, value: int) -> None:
        assert faults(f'{{"count": {value}}}'.encode())[0]["field"] == "$.count"

    def test_refuses_a_number_for_a_text(self) -> None:
        assert faults(b'{"name": 1}') == [{"field": "$.name", "message": "Expected `str`, got `int`"}]

    def test_refuses_an_unknown_field(self) -> None:
        assert "`coutn`" in faults(b'{"coutn": 1}')[0]["message"]

    def test_names_the_place_of_a_fault(self) -> None:
        assert faults(b'{"notes": ["a", 2]}')[0]["field"] == "$.notes[1]"
        assert faults(b"[]")[0]["field"] == "$"

    def test_does_not_give_back_what_is_endlessly_long(self) -> None:
        assert len(str(faults(b'{"%s": 1}' % (b"x" * 100_000)))) < 1_000

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b" ", b"{", b'{"count": 1,}', b'{"count": 1} x', b"{'count': 1}", b'{"count": NaN}'),
            b'\xef\xbb\xbf{"count": 1}',
            *(b"\xff", b'{"name": "\xff"}', b'{"name": "\xed\xa0\x80"}', b'{"name": "\xc0\x80"}'),
            *(rb'{"name": "\ud800"}', rb'{"name": "\udc00"}', rb'{"name": "\ud800\ud800"}'),
            rb'{"name": "\ud800 and more text"}',
        ],
    )
    def test_calls_malformed_what_is_not_json(self, body: bytes) -> None:
        with pytest.raises(MalformedBody):
            decode_strict(body, Order)

    @pytest.mark.parametrize("target", [Order, Any])
    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_survives_any_depth(self, target: Any, opening: bytes) -> None:
        with pytest.raises((MalformedBody, InvalidField)):
            decode_strict(opening * 200_000, target)

    @given(st.binary(max_size=60))
    def test_refuses_or_reads_any_bytes(self, body: bytes) -> None:
        with suppress(MalformedBody, InvalidField):
            decode_strict(body, Order)


def accepts(field: Any, text: str) -> bool:
    escaped = "".join(f"\\u{ord(character):04x}" if character < " " else character for character in text)
    try:
        return bool(decode_strict(f'"{escaped}"'.encode(), field) == text)
    except InvalidField:
        return False


class TestName:
    @pytest.mark.parametrize(
        "text", ["A", "Asha", "Ó Súilleabháin", "आशा देवी", "李", "👩‍👧", "x" * 60, "क" * 60]
    )
    def test_is_what_people_write(self, text: str) -> None:
        assert accepts(Name, text)

    @pytest.mark.parametrize("text", ["", " ", " A", "A ", "A\u00a0", "\u3000A", "x" * 61])
    def test_has_no_space_around_it_and_an_end(self, text: str) -> None:
        assert not accepts(Name, text)

    @pytest.mark.parametrize(
        "control", ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
    )
    def test_is_one_line_without_control_characters(self, control: str) -> None:
        assert not any(
            accepts(Name, text) for text in (control, f"A{control}", f"{control}A", f"A{control}B")
        )


class TestIds:
    @pytest.mark.parametrize("text", ["a", "!", "~", "4f1c-2", "x" * 64])
    def test_of_commands_are_printable_ascii(self, text: str) -> None:
        assert accepts(CommandId, text)

    @pytest.mark.parametrize("text", ["", " ", "a b", "a\n", "\n", "a\x00", "a\x7f", "é", "１", "x" * 65])
    def test_of_commands_are_nothing_else(self, text: str) -> None:
        assert not accepts(CommandId, text)

    @pytest.mark.parametrize("text", ["", "a\n", "a b", "a.b", "$ne", "é", "x" * 65])
    def test_of_ours_hold_no_other_character(self, text: str) -> None:
        assert not accepts(Id, text)


class TestQrSvg:
    @pytest.mark.parametrize(
        "text", ["A", "https://shop.example/app/join#" + "t" * 32, "x" * 330, "आशा ₹420"]
    )
    def test_reads_as_the_text(self, text: str) -> None:
        found = zxingcpp.read_barcode(draw(qr_svg(text)))
        assert found is not None
        assert found.text == text

    def test_stands_alone_and_loads_nothing(self) -> None:
        svg = qr_svg("<script>&")
        assert svg.startswith("<?xml")
        assert "script" not in svg
        assert re.findall(r'(?:href|src)="', svg) == []

    def test_keeps_the_quiet_zone_of_four_modules(self) -> None:
        image = draw(qr_svg("A"), scale=1)
        assert set(image.crop((0, 0, image.width, 4)).tobytes()) == {255}
        assert image.getpixel((4, 4)) == 0


class TestClock:
    def test_tells_utc_in_whole_milliseconds(self) -> None:
        now = SystemClock().now()
        assert now.tzinfo is not None
        assert not now.utcoffset()
        assert now.microsecond % 1_000 == 0

    def test_goes_on(self) -> None:
        clock = SystemClock()
        before = clock.now()
        time.sleep(0.002)
        assert clock.now() > before

    @given(st.integers(0, 4 * 10**18))
    def test_is_exact(self, ns: int) -> None:
        """To the millisecond, for any time till the year 2096."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: ns)
            assert SystemClock().now() == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                milliseconds=ns // 10**6
            )

    def test_cuts_what_bson_would_lose(self) -> None:
        assert to_milliseconds(NOW.replace(microsecond=999_999)).microsecond == 999_000


class TestBackground:
    async def test_runs_a_loop_again_after_however_many_failures(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "MAX_BACKOFF_S", 0)
        turns = 0

        async def fails() -> None:
            nonlocal turns
            turns += 1
            if turns == 2_000:
                gone_on.set()
            raise OSError("away")

        gone_on, background = asyncio.Event(), Background()
        background.start("fails", fails)
        await asyncio.wait_for(gone_on.wait(), 30)
        await background.stop()

    async def test_ends_a_loop_that_loses_a_cancellation(self) -> None:
        async def stubborn() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)

        background = Background()
        background.start("stubborn", stubborn)
        await asyncio.sleep(0)
        await asyncio.wait_for(background.stop(), 5)

    async def test_ends_the_newest_first(self) -> None:
        ended: list[str] = []

        async def loop(name: str) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(name)

        background = Background()
        background.start("first", lambda: loop("first"))
        background.start("second", lambda: loop("second"))
        await asyncio.sleep(0)
        await background.stop()
        assert ended == ["second", "first"]
