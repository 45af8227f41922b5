"""The phones of all carts: in each one scans while all look, and each scan is followed to the last screen."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence

import msgspec
import picows

from scripts.benchmarks.drivers import Driver, Way
from scripts.benchmarks.figures import Times
from scripts.benchmarks.plans import Stretch

SCANS_A_CART = 4_800
"""A cart of ours holds 5,000 events, some of them kept for the till."""
STALLED_S = 15.0
GREETED_WITHIN_S = 60.0


class Failed(Exception):
    """The server did not do what it must. One sentence."""


class _Frame(msgspec.Struct):
    """What is read of a frame."""

    type: str
    id: str | int | None = None
    code: str = ""


_read = msgspec.json.Decoder(_Frame).decode


class _Scan:
    """A scan on its way."""

    __slots__ = ("answered", "screens_left", "sent_at")

    def __init__(self, sent_at: float, screens: int) -> None:
        self.sent_at = sent_at
        self.screens_left = screens
        self.answered = False


class Cart:
    """One cart: how many look at it, who scans, how many scans it had."""

    def __init__(self, barcodes: list[str], dice: random.Random) -> None:
        self.scanner: picows.WSTransport
        self.members = 0
        self.scans = 0
        self._barcodes = barcodes
        self._dice = dice

    def next_barcode(self) -> str:
        """Each barcode once, then any of them."""
        filled = self.scans >= len(self._barcodes)
        barcode = self._dice.choice(self._barcodes) if filled else self._barcodes[self.scans]
        self.scans += 1
        return barcode


class Screen(picows.WSListener):
    """One phone's socket."""

    def __init__(self, crowd: "Crowd", cart: Cart, *, scans: bool, there: bool) -> None:
        """`there`: served by another process than the scanner's."""
        self.cart = cart
        self.scans = scans
        self.there = there
        self.greeted = asyncio.Event()
        self._crowd = crowd

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.TEXT:
            self._crowd.see(self, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._crowd.failure = self._crowd.failure or "The server closed a socket."


class Crowd:
    """All carts, and the scans on their way.

    Attributes:
        times: of every scan.
        last_at: when a scan last reached the last screen.
        failure: why the run is worth nothing, if it is.
    """

    def __init__(self, driver: Driver, barcodes: list[str], *, may_be_refused: bool = False) -> None:
        """`may_be_refused`: a scan that is refused is counted and does not end the run."""
        self.carts: list[Cart] = []
        self.times = Times()
        self.last_at = 0.0
        self.failure = ""
        self._driver = driver
        self._barcodes = barcodes
        self._may_be_refused = may_be_refused
        self._dice = random.Random(1)  # noqa: S311 - the same scans in every run
        self._numbers = itertools.count(1)
        self._on_way: dict[str, _Scan] = {}
        self._goes_on: Callable[[Cart, float], bool] = lambda _cart, _now: False

    def new_cart(self) -> Cart:
        cart = Cart(self._barcodes, self._dice)
        self.carts.append(cart)
        return cart

    async def enter(self, cart: Cart, ways: list[Way], urls: Sequence[str]) -> None:
        """Connect phones to a cart, the scanner's first, and wait until all are in it.

        Args:
            urls: the processes of the server, which the phones take in turn.
        """
        screens = []
        for way, url in zip(ways, itertools.cycle(urls), strict=False):
            screen = Screen(self, cart, scans=cart.members == 0, there=url != urls[0])
            address = url.replace("http", "ws", 1) + way.path
            transport, _ = await picows.ws_connect(
                lambda made=screen: made, address, websocket_handshake_timeout=GREETED_WITHIN_S
            )
            if way.hello is not None:
                transport.send(picows.WSMsgType.TEXT, way.hello)
            if screen.scans:
                cart.scanner = transport
            cart.members += 1
            screens.append(screen)
        if self._driver.greets:
            try:
                async with asyncio.timeout(GREETED_WITHIN_S):
                    for screen in screens:
                        await screen.greeted.wait()
            except TimeoutError:
                raise Failed(f"A phone that came in saw nothing for {GREETED_WITHIN_S:.0f} s.") from None

    async def fill(self) -> None:
        """Scan in every cart until it has a line of each barcode."""
        lines = len(self._barcodes)
        await self._each_when_answered(lambda cart, _now: cart.scans < lines)

    async def scan(self, stretch: Stretch) -> None:
        """Scan as the stretch says, and wait until every screen has all of it."""
        if stretch.rate is None:
            await self._scan_when_answered(stretch.seconds)
        else:
            await self._scan_at_rate(stretch.rate, stretch.seconds)

    async def _scan_when_answered(self, seconds: float) -> None:
        """Scan in every cart as soon as the one before is answered, until the time is over or a cart full."""
        until = time.perf_counter() + seconds

        def goes_on(cart: Cart, now: float) -> bool:
            nonlocal until
            if cart.scans >= SCANS_A_CART:
                until = now
            return now < until

        await self._each_when_answered(goes_on)

    async def _each_when_answered(self, goes_on: Callable[[Cart, float], bool]) -> None:
        self._goes_on = goes_on
        for cart in self.carts:
            if goes_on(cart, time.perf_counter()):
                self._send(cart)
        await self._arrived()
        self._goes_on = lambda _cart, _now: False

    async def _scan_at_rate(self, rate: float, seconds: float) -> None:
        """Scan in the carts in turn, so many a second in all, whatever the answers."""
        began = time.perf_counter()
        for count in range(int(rate * seconds)):
            early = began + count / rate - time.perf_counter()
            if early > 0:
                await asyncio.sleep(early)
            self._send(self.carts[count % len(self.carts)])
        await self._arrived()

    async def _arrived(self) -> None:
        """Wait until every scan was answered and is on every screen.

        Raises:
            Failed: one never was.
        """
        self.last_at = time.perf_counter()
        while self._on_way and not self.failure:
            if time.perf_counter() - self.last_at > STALLED_S:
                self.failure = f"{len(self._on_way)} scans did not come to every screen."
            await asyncio.sleep(0.01)
        if self.failure:
            raise Failed(self.failure)

    def _send(self, cart: Cart) -> None:
        number = next(self._numbers)
        message = self._driver.scan(number, cart.next_barcode())
        self._on_way[str(number)] = _Scan(time.perf_counter(), cart.members)
        cart.scanner.send(picows.WSMsgType.TEXT, message)

    def see(self, screen: Screen, payload: bytes) -> None:
        """A frame came to a screen."""
        now = time.perf_counter()
        frame = _read(payload)
        screen.greeted.set()
        key = str(frame.id)
        if frame.type == "error":
            self._on_refusal(key, frame.code)
        scan = self._on_way.get(key)
        if scan is None:
            return
        if frame.type == self._driver.screen:
            scan.screens_left -= 1
            if not screen.scans:
                (self.times.there if screen.there else self.times.here).append(now - scan.sent_at)
            if scan.screens_left == 0:
                self.times.everybody.append(now - scan.sent_at)
                self.last_at = now
        answered = screen.scans and frame.type == self._driver.echo
        if answered:
            scan.answered = True
            self.times.own.append(now - scan.sent_at)
        if scan.answered and scan.screens_left == 0:
            del self._on_way[key]
        if answered and self._goes_on(screen.cart, now):
            self._send(screen.cart)

    def _on_refusal(self, key: str, code: str) -> None:
        if self._may_be_refused and self._on_way.pop(key, None) is not None:
            self.times.refused += 1
        else:
            self.failure = f"A scan was refused: {code}."
