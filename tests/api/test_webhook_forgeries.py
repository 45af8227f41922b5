"""S2: a webhook that differs from what was signed, in whatever, is refused and changes nothing."""

import base64
import hashlib
import hmac
import json
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from backend.kit import mongo
from backend.settings import Settings
from tests.factories import FakeClock
from tests.shops import Shop, shop_of
from tests.world import SANDBOX_SECRET, gateway_event, ready_to_pay, settled, signed

pytestmark = [pytest.mark.usefixtures("sandbox", "reconciler_at_rest"), pytest.mark.timeout(900)]

WEBHOOK = "/payment/webhook/sandbox"
SIGNED = ("x-sandbox-event-id", "x-sandbox-timestamp", "x-sandbox-signature")
OLDER_SECRET = "the-older-secret-of-the-webhooks"
TOLERANCE_S = 300


class Post(NamedTuple):
    """A request as bytes; headers may come more than once."""

    body: bytes
    headers: list[tuple[bytes, bytes]]

    def header(self, name: str) -> bytes:
        return next(value for key, value in self.headers if key == name.encode())

    def with_header(self, name: str, value: bytes) -> "Post":
        given = name.encode()
        return self._replace(headers=[(key, value if key == given else old) for key, old in self.headers])


class Origin(NamedTuple):
    """What forgers have: a true webhook, another one of the same shop, the time."""

    true: Post
    other: Post
    event: dict[str, Any]
    clock: FakeClock


def post_of(event: dict[str, Any], clock: FakeClock, secret: str = SANDBOX_SECRET, late_s: int = 0) -> Post:
    request = signed(event, clock.now() - timedelta(seconds=late_s), secret)
    return Post(
        request["content"], [(name.encode(), value.encode()) for name, value in request["headers"].items()]
    )


def one_byte(text: bytes, dice: random.Random) -> bytes:
    """The text with one byte changed, removed or added, at the same place or another."""
    at = dice.randrange(len(text))
    way = dice.randrange(3)
    if way == 0:
        return text[:at] + bytes([text[at] ^ dice.randint(1, 255)]) + text[at + 1 :]
    if way == 1:
        return text[:at] + text[at + 1 :]
    at = dice.randint(0, len(text))
    return text[:at] + bytes([dice.randrange(256)]) + text[at:]


def body_byte(origin: Origin, dice: random.Random) -> Post:
    return origin.true._replace(body=one_byte(origin.true.body, dice))


def header_byte(origin: Origin, dice: random.Random) -> Post:
    name = dice.choice(SIGNED)
    return origin.true.with_header(name, one_byte(origin.true.header(name), dice))


def written_otherwise(origin: Origin, dice: random.Random) -> Post:
    """The same JSON in other bytes: spaces, the order of keys, escapes."""
    event = origin.event
    keys = dice.sample(list(event), len(event))
    writings = [
        json.dumps(event, separators=(",", ":")),
        json.dumps(event, indent=dice.randint(0, 4)),
        json.dumps(event, sort_keys=True, separators=(", ", ": ")) + " " * dice.randint(1, 9),
        json.dumps({key: event[key] for key in keys}, separators=(", ", " : ")),
        json.dumps(event).replace("asha", "\\u0061sha"),
        json.dumps(event).replace("/", "\\/") + "\n",
        "\ufeff" + json.dumps(event),
        json.dumps(event)[:-1] + ', "id": ' + json.dumps(event["id"]) + "}",
    ]
    return origin.true._replace(body=dice.choice(writings).encode())


def of_another_event(origin: Origin, dice: random.Random) -> Post:
    """One to three signed headers are those of another event, or its body is."""
    if dice.random() < 0.2:
        return origin.true._replace(body=origin.other.body)
    forged = origin.true
    for name in dice.sample(SIGNED, dice.randint(1, 3)):
        if origin.other.header(name) != origin.true.header(name):
            forged = forged.with_header(name, origin.other.header(name))
    return forged if forged != origin.true else origin.true._replace(body=origin.other.body)


def stale(origin: Origin, dice: random.Random) -> Post:
    """Truly signed, too long ago or too far in the future."""
    late_s = dice.choice([TOLERANCE_S + 1, TOLERANCE_S + dice.randint(1, 10**7)])
    return post_of(origin.event, origin.clock, late_s=late_s * dice.choice([1, -1]))


def other_time(origin: Origin, dice: random.Random) -> Post:
    """Another time under the old signature, also in other spellings of the same number."""
    now = int(origin.true.header("x-sandbox-timestamp"))
    spelt = [f"+{now}", f"0{now}", f"{now}.0", f" {now}", f"{now}_0", f"{now:x}", "", "-1", f"{now}" * 9]
    arabic = "".join(chr(0x0660 + int(digit)) for digit in str(now))
    texts = [str(now + dice.choice([-1, 1]) * dice.randint(1, 299)), arabic, *spelt]
    return origin.true.with_header("x-sandbox-timestamp", dice.choice(texts).encode())


def other_signature(origin: Origin, dice: random.Random) -> Post:
    """The true signature in another encoding, case or length; or none of it at all."""
    true = origin.true.header("x-sandbox-signature")
    raw = bytes.fromhex(true.decode())
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in true.decode())
    mixed = "".join(dice.choice([letter, letter.upper()]) for letter in true.decode()).encode()
    texts = [
        true.upper() if true.upper() != true else b"",
        mixed if mixed != true else b"",
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        raw,
        b"sha256=" + true,
        b"0x" + true,
        b'"' + true + b'"',
        true * 2,
        true[: dice.randrange(64)],
        true + true[: dice.randint(1, 64)],
        b"\x00" + true,
        wide.encode(),
        f"{true.decode()}\u200b".encode(),
        "ü".encode(dice.choice(["utf-8", "latin-1"])) * 64,
        secrets.token_hex(32).encode(),
        b"null",
        b"0" * 64,
    ]
    return origin.true.with_header("x-sandbox-signature", dice.choice(texts))


def other_algorithm(origin: Origin, dice: random.Random) -> Post:
    """A digest that is right but for one thing: the hash, the key, or what it is of."""
    event_id, time = (origin.true.header(name) for name in SIGNED[:2])
    body, key = origin.true.body, SANDBOX_SECRET.encode()
    message = time + b"." + event_id + b"." + body
    digests = [
        hmac.new(key, message, hashlib.sha512).hexdigest(),
        hmac.new(key, message, hashlib.sha1).hexdigest(),
        hmac.new(key, body, hashlib.sha256).hexdigest(),
        hmac.new(key, time + b"." + body, hashlib.sha256).hexdigest(),
        hmac.new(key, event_id + b"." + time + b"." + body, hashlib.sha256).hexdigest(),
        hmac.new(key, message + b"\n", hashlib.sha256).hexdigest(),
        hmac.new(b"", message, hashlib.sha256).hexdigest(),
        hmac.new(key.upper(), message, hashlib.sha256).hexdigest(),
        hmac.new(b"None", message, hashlib.sha256).hexdigest(),
        hashlib.sha256(key + message).hexdigest(),
        hashlib.sha256(message).hexdigest(),
    ]
    return origin.true.with_header("x-sandbox-signature", dice.choice(digests).encode())


def missing(origin: Origin, dice: random.Random) -> Post:
    """One header or all are not there, or the body is not."""
    if dice.random() < 0.2:
        return origin.true._replace(body=b"")
    gone = dice.sample(SIGNED, dice.randint(1, 3))
    return origin.true._replace(
        headers=[each for each in origin.true.headers if each[0].decode() not in gone]
    )


def twice(origin: Origin, dice: random.Random) -> Post:
    """A signed header comes a second time with another value, before the true one or after it."""
    name = dice.choice(SIGNED)
    values = [one_byte(origin.true.header(name), dice), origin.other.header(name), b"", b"1"]
    second = dice.choice([value for value in values if value != origin.true.header(name)])
    at = dice.randint(0, len(origin.true.headers))
    headers = list(origin.true.headers)
    headers.insert(at, (name.encode(), second))
    return origin.true._replace(headers=headers)


Forgery = Callable[[Origin, random.Random], Post]
FORGERIES: dict[Forgery, int] = {
    body_byte: 30,
    header_byte: 25,
    written_otherwise: 10,
    of_another_event: 8,
    stale: 5,
    other_time: 5,
    other_signature: 8,
    other_algorithm: 5,
    missing: 2,
    twice: 5,
}
"""With how often each is tried, in parts of their sum."""


async def deliver(shop: Shop, post: Post) -> httpx.Response:
    return await shop.api.post(WEBHOOK, content=post.body, headers=post.headers)


@pytest.fixture
async def shop(settings: Settings, database: mongo.Database) -> AsyncIterator[Shop]:
    async with shop_of(settings, database) as shop:
        yield shop


async def test_is_refused_and_changes_nothing(
    shop: Shop, chaos_seed: int, pytestconfig: pytest.Config
) -> None:
    number = 10_000 if pytestconfig.getoption("full") else 500
    print(f"--seed {chaos_seed}")
    dice = random.Random(f"{chaos_seed} forgeries")
    trips = [await ready_to_pay(shop.app, shop.api) for _ in range(2)]
    event, another = [gateway_event(await trip.initiate()) for trip in trips]
    origin = Origin(post_of(event, shop.clock), post_of(another, shop.clock), event, shop.clock)
    await settled(shop.app)
    before = await shop.hash()
    wrong: list[str] = []
    tried: Counter[str] = Counter()
    for _ in range(number):
        (forge,) = dice.choices(list(FORGERIES), list(FORGERIES.values()))
        forged = forge(origin, dice)
        assert forged != origin.true, forge.__name__
        response = await deliver(shop, forged)
        tried[forge.__name__] += 1
        if (response.status_code, response.json().get("code")) != (400, "webhook_unsigned"):
            wrong.append(
                f"{forge.__name__} {forged.headers} was answered with {response.status_code} {response.text}"
            )
    print(dict(tried))
    assert not wrong, "\n".join([f"{len(wrong)} were not refused", *wrong[:10]])
    assert await shop.hash() == before
    response = await deliver(shop, origin.true)
    assert (response.status_code, response.json()["outcome"]) == (200, "paid")
    assert await shop.hash() != before


class TestRotation:
    """Two secrets are good while one takes the place of the other; then one is."""

    async def outcomes(self, settings: Settings, database: mongo.Database, named: str) -> list[str]:
        """What becomes of an event under the newer secret, and of another under the older."""
        async with shop_of(settings, database, qless_sandbox_webhook_secrets=named) as shop:
            told = []
            for secret in (SANDBOX_SECRET, OLDER_SECRET):
                trip = await ready_to_pay(shop.app, shop.api)
                event = gateway_event(await trip.initiate())
                response = await deliver(shop, post_of(event, shop.clock, secret))
                told.append(response.json().get("outcome") or response.json()["code"])
            return told

    async def test_takes_both_and_then_the_newer_alone(
        self, settings: Settings, database: mongo.Database
    ) -> None:
        both = f"{SANDBOX_SECRET},{OLDER_SECRET}"
        assert await self.outcomes(settings, database, both) == ["paid", "paid"]
        assert await self.outcomes(settings, database, SANDBOX_SECRET) == ["paid", "webhook_unsigned"]
