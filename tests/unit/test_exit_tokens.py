"""The pass as a text and as a picture: short enough, and readable from a bad one."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.carts.rules import MAX_LINES, MAX_QTY
from backend.exits import tokens
from backend.exits.keys import new_kid
from backend.kit.ids import new_id
from backend.kit.money import MAX_MINOR
from backend.kit.qr import qr_svg
from backend.stores import MAX_STORE_ID
from tests.drawing import draw, photograph, read_qr

YEAR_2100_S = 4_102_444_800
"""Times have ten digits until 2286."""


def largest() -> tokens.Claims:
    """What nothing that can be bought goes beyond."""
    at = datetime.fromtimestamp(YEAR_2100_S, UTC)
    store_id = "store_demo_blr"[:MAX_STORE_ID].ljust(MAX_STORE_ID, "x")
    return tokens.Claims(store_id, "ord_06gznf6c1bf3ka843meq", at, at, MAX_LINES * MAX_QTY, MAX_MINOR, True)


@pytest.fixture(scope="module")
def token() -> str:
    """Always the same, so that its pictures are."""
    return tokens.sign(largest(), "abcd", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def test_the_largest_pass_has_exactly_the_characters_allowed(token: str) -> None:
    assert len(token) == tokens.MAX_CHARACTERS == 330
    assert len(new_id("ord")) == len(largest().order_id)
    assert len(new_kid()) == len("abcd")


def test_says_many_items_when_there_are_more_than_fit() -> None:
    private = Ed25519PrivateKey.generate()
    for items, told in ((998, 998), (999, 999), (1000, 999)):
        text = tokens.sign(largest()._replace(item_count=items), "abcd", private)
        assert tokens.read(text, private.public_key()).item_count == told


@pytest.mark.parametrize("angle", [0, 7, 45, 90, 163, 200, 331])
def test_reads_from_a_small_dim_blurred_rotated_picture(token: str, angle: int) -> None:
    """300 pixels wide, a third as bright, blurred by a quarter of a module."""
    picture = photograph(draw(qr_svg(token)), width=300, blur=1.0, angle=angle, brightness=0.35)
    assert read_qr(picture) == [token]


@pytest.mark.parametrize("brightness", [1.0, 0.5, 0.35])
@pytest.mark.parametrize(("width", "blur"), [(280, 0.5), (440, 1.5), (800, 3.0)])
def test_reads_from_near_and_far(token: str, width: int, blur: float, brightness: float) -> None:
    picture = photograph(draw(qr_svg(token)), width=width, blur=blur, angle=12, brightness=brightness)
    assert read_qr(picture) == [token]


def test_reads_through_glare(token: str) -> None:
    """A white spot over 8 % of the picture; error correction level L gives up at 6 %."""
    picture = photograph(draw(qr_svg(token)), width=400, blur=1.0, angle=0, brightness=0.6)
    middle, half = picture.width // 2, picture.width // 7
    picture.paste(255, (middle - half, middle - half, middle + half, middle + half))
    assert read_qr(picture) == [token]
