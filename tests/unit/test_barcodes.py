"""Barcodes: what a scanner read becomes the right keys, and a misread none."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.catalog.barcodes import check_digit, expand_upc_e, parse
from backend.errors import InvalidBarcode, InvalidCheckDigit

FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "8901262010023")


def payloads(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


def with_check_digit(payload: str) -> str:
    return payload + str(check_digit(payload))


upc_a_codes = payloads(11).map(with_check_digit)
ean_13_codes = payloads(12).map(with_check_digit)
gtin_14_codes = payloads(13).map(with_check_digit)
ean_8_codes = payloads(7).map(with_check_digit)
long_codes = st.one_of(upc_a_codes, ean_13_codes, gtin_14_codes)


@st.composite
def upc_e_codes(draw: st.DrawFn) -> str:
    seven = draw(st.sampled_from("01")) + draw(payloads(6))
    return seven + str(check_digit(expand_upc_e(seven + "0")[:-1]))


class TestCheckDigit:
    @pytest.mark.parametrize(
        ("payload", "digit"),
        [("629104150021", 3), ("890103072344", 5), ("03600024145", 7), ("4008401", 5), ("0000000", 0)],
    )
    def test_published_vectors(self, payload: str, digit: int) -> None:
        assert check_digit(payload) == digit


class TestParse:
    @pytest.mark.parametrize(
        ("text", "keys"),
        [
            ("8901262010023", ("08901262010023",)),
            ("80177173", ("00000080177173",)),
            ("737628064502", ("00737628064502",)),
            ("0737628064502", ("00737628064502",)),
            ("18901262010020", ("18901262010020",)),
            (" 8901262010023\r\n", ("08901262010023",)),
        ],
    )
    def test_pads_to_fourteen_digits(self, text: str, keys: tuple[str, ...]) -> None:
        assert parse(text) == keys

    @pytest.mark.parametrize(
        "text",
        ["", " ", "1234567", "123456789", "12345678901", "123456789012345", "890126201002X", "8901262 10023"],
    )
    def test_refuses_what_is_no_barcode(self, text: str) -> None:
        with pytest.raises(InvalidBarcode):
            parse(text)

    @pytest.mark.parametrize("text", ["٨٩٠١٢٦٢٠١٠٠٢٣", FULL_WIDTH, "890126201002²"])
    def test_refuses_digits_that_are_not_ascii(self, text: str) -> None:
        with pytest.raises(InvalidBarcode):
            parse(text)

    def test_says_which_check_digit_was_expected(self) -> None:
        with pytest.raises(InvalidCheckDigit, match="The last digit is 4, 3 was expected"):
            parse("8901262010024")

    def test_says_both_when_it_may_be_an_ean_8_or_a_upc_e(self) -> None:
        with pytest.raises(InvalidCheckDigit, match="The last digit is 6, 4 or 1 was expected"):
            parse("01234536")

    @given(ean_13_codes)
    def test_an_upc_a_is_the_ean_13_with_a_zero_in_front(self, ean_13: str) -> None:
        upc_a = with_check_digit(ean_13[1:-1])
        assert parse(upc_a) == parse("0" + upc_a) == parse("00" + upc_a)

    @given(long_codes, st.data())
    def test_refuses_any_single_wrong_digit(self, code: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(code) - 1))
        wrong = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != code[place]))
        with pytest.raises(InvalidCheckDigit):
            parse(code[:place] + wrong + code[place + 1 :])

    @given(ean_8_codes, st.data())
    def test_an_ean_8_with_a_wrong_digit_is_no_ean_8(self, code: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, 7))
        wrong = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != code[place]))
        misread = code[:place] + wrong + code[place + 1 :]
        assume(misread[0] not in "01")
        with pytest.raises(InvalidCheckDigit):
            parse(misread)

    @given(st.text(max_size=20))
    def test_any_text_has_keys_or_is_refused(self, text: str) -> None:
        try:
            keys = parse(text)
        except (InvalidBarcode, InvalidCheckDigit):
            return
        assert all(len(key) == 14 and int(key[-1]) == check_digit(key[:-1]) for key in keys)


class TestUpcE:
    @pytest.mark.parametrize(
        ("upc_e", "upc_a"),
        [
            ("01234505", "012000003455"),
            ("01234514", "012100003454"),
            ("01234523", "012200003453"),
            ("01234531", "012300000451"),
            ("01234543", "012340000053"),
            ("01234558", "012345000058"),
            ("01234565", "012345000065"),
            ("01234572", "012345000072"),
            ("01234589", "012345000089"),
            ("01234596", "012345000096"),
            ("04252614", "042100005264"),
        ],
    )
    def test_expands_by_its_last_digit(self, upc_e: str, upc_a: str) -> None:
        assert expand_upc_e(upc_e) == upc_a
        assert parse(upc_e)[-1] == parse(upc_a)[0]

    @given(upc_e_codes())
    def test_is_found_as_the_upc_a_that_it_is(self, upc_e: str) -> None:
        upc_a = expand_upc_e(upc_e)
        assert len(upc_a) == 12
        assert upc_a[1:-1].count("0") >= 4
        assert parse(upc_a)[0] in parse(upc_e)

    @given(upc_e_codes())
    def test_comes_after_the_ean_8_when_it_may_be_both(self, upc_e: str) -> None:
        keys = parse(upc_e)
        is_ean_8 = int(upc_e[-1]) == check_digit(upc_e[:-1])
        assert keys[:-1] == ((upc_e.zfill(14),) if is_ean_8 else ())

    def test_an_eight_digit_code_can_be_both(self) -> None:
        assert parse("00000116") == ("00000000000116", "00000100000016")
