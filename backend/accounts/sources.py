"""Where a sign-in comes from: what its owner recognises it by, and its address."""

from typing import Any, NamedTuple

from litestar import Request

from backend.kit.throttle import network_of

_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "FxiOS/": "Firefox",
    "Firefox/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
"""By a part of `User-Agent`; the first that is in it counts, as most browsers also claim to be others."""
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "Chromebook",
    "Windows": "Windows",
    "Macintosh": "Mac",
    "Linux": "Linux",
}


class Source(NamedTuple):
    """What a request tells of where it comes from.

    Attributes:
        device: such as `Chrome on Android`; nothing that the client sent is repeated in it.
        network: the client's own address, or what stands for it: `kit.throttle.network_of`.
    """

    device: str
    network: str


UNKNOWN = Source("Unknown device", "unknown")


def source_of(request: Request[Any, Any, Any]) -> Source:
    """By the address that uvicorn gives: the client's own, told by nobody but our proxy."""
    host = request.client.host if request.client else UNKNOWN.network
    return Source(device_name(request.headers.get("user-agent", "")), network_of(host))


def device_name(user_agent: str) -> str:
    """Browser and system, as far as they are known."""
    browser = next((name for part, name in _BROWSERS.items() if part in user_agent), "")
    system = next((name for part, name in _SYSTEMS.items() if part in user_agent), "")
    return " on ".join(filter(None, (browser, system))) or UNKNOWN.device
