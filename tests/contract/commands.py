"""A valid frame for each row of the access table's socket.

`COMMANDS` holds one function a row, like `requests.REQUESTS`: what it gives stands beside the frame's `type` and `id`.
"""

from collections.abc import Awaitable, Callable

from tests.contract.access import Who
from tests.contract.scene import Json, Scene

Commands = Callable[[Scene, Who], Awaitable[Json]]
COMMANDS: dict[str, Commands] = {}


def command_for(name: str) -> Callable[[Commands], Commands]:
    """Take a function as the command of the row of this name."""

    def take(make: Commands) -> Commands:
        COMMANDS[name] = make
        return make

    return take


def _plain(name: str) -> None:
    """A frame that says nothing but its type."""

    async def make(scene: Scene, who: Who) -> Json:
        return {}

    COMMANDS[name] = make


_plain("hello")
_plain("ping")
_plain("leave")


@command_for("add")
async def _(scene: Scene, who: Who) -> Json:
    return {"barcode": scene.barcode}


@command_for("set_quantity")
async def _(scene: Scene, who: Who) -> Json:
    return {"line_id": await scene.line_of(scene.owner), "qty": 3}


@command_for("remove")
async def _(scene: Scene, who: Who) -> Json:
    return {"line_id": await scene.line_of(scene.owner)}


@command_for("approve")
async def _(scene: Scene, who: Who) -> Json:
    return {"line_id": await scene.waiting_line()}


@command_for("decline")
async def _(scene: Scene, who: Who) -> Json:
    return {"line_id": await scene.waiting_line()}


@command_for("undo")
async def _(scene: Scene, who: Who) -> Json:
    if who in {Who.OWNER, Who.MEMBER}:
        await scene.line_of(scene.people[who])
    return {}


@command_for("set_budget")
async def _(scene: Scene, who: Who) -> Json:
    return {"limit_minor": 5000}


@command_for("set_role")
async def _(scene: Scene, who: Who) -> Json:
    return {"member": (await scene.newcomer()).user_id, "role": "child"}


@command_for("remove_member")
async def _(scene: Scene, who: Who) -> Json:
    return {"member": (await scene.newcomer()).user_id}


@command_for("hand_over")
async def _(scene: Scene, who: Who) -> Json:
    return {"member": scene.people[Who.MEMBER].user_id}
