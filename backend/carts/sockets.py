"""The live cart's socket: a reader for what has to wait, a writer for a phone that is slow, and ways past both.

The socket is accepted, then `hello` must come within 5 s; nothing else is read before it. From then on frames are
handled in the order they come, and the commands of one phone may be on their way while the next is read: `ack`
and `event` frames are sent by whoever commits them.
"""

import asyncio
import logging
from functools import partial
from typing import Any, cast

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from backend import errors
from backend.accounts import Accounts, Principal
from backend.carts import frames, metrics
from backend.carts.commands import Request
from backend.carts.rooms import Room
from backend.carts.schemas import session_out
from backend.carts.service import RESUME_AT_MOST, Carts
from backend.errors import AppError
from backend.kit.mongo import StorageError
from backend.live import CloseCode, Connection, bypass_of

log = logging.getLogger(__name__)

HELLO_WITHIN_S = 5.0


class _Refused(Exception):
    """The socket is closed with this code before it became a phone of the cart."""

    def __init__(self, code: CloseCode) -> None:
        self.code = code


class _Gone(Exception):
    """The phone hung up, or the server restarts; `code` is the socket's close code."""

    def __init__(self, code: int) -> None:
        self.code = code


HUNG_UP = (_Gone, WebSocketDisconnect, OSError)
"""How it shows that a phone is gone, by what was just being done."""


@websocket("/ws/cart/{session_id:str}", opt={"exclude_from_auth": True})
async def cart_socket(socket: WebSocket[Any, Any, Any], session_id: FromPath[str]) -> None:
    """One phone on one cart."""
    services = socket.app.state.services
    carts: Carts = services.carts
    await socket.accept(headers={"x-served-by": carts.rooms.process})
    try:
        if socket.headers.get("origin", "") not in {"", *services.settings.origins}:
            raise _Refused(CloseCode.FOREIGN_ORIGIN)
        hello = await _read_hello(socket)
        phone = await _Phone.admit(socket, services.accounts, carts, session_id, hello)
    except _Refused as refused:
        metrics.count_close(refused.code)
        await socket.close(code=int(refused.code), reason=refused.code.name.lower())
    except _Gone as gone:
        metrics.count_close(gone.code)
    else:
        await phone.serve()


async def _read_hello(socket: WebSocket[Any, Any, Any]) -> frames.Hello:
    try:
        async with asyncio.timeout(HELLO_WITHIN_S):
            text = await _receive(socket)
        frame = frames.decode(text)
    except TimeoutError:
        raise _Refused(CloseCode.HELLO_LATE) from None
    except msgspec.DecodeError:
        raise _Refused(CloseCode.BAD_HELLO) from None
    if not isinstance(frame, frames.Hello):
        raise _Refused(CloseCode.BAD_HELLO)
    return frame


async def _receive(socket: WebSocket[Any, Any, Any]) -> str:
    message = await socket.receive()
    if message["type"] != "websocket.receive":
        raise _Gone(cast(int, message.get("code", 1006)))
    text: str | None = message.get("text")
    return text if text is not None else "binary frames are not read"


async def _principal(accounts: Accounts, token: str) -> Principal:
    try:
        return await accounts.authenticate(token)
    except errors.NotAuthenticated:
        raise _Refused(CloseCode.NOT_AUTHENTICATED) from None


class _Phone:
    """A member's socket after its hello."""

    def __init__(
        self,
        socket: WebSocket[Any, Any, Any],
        accounts: Accounts,
        carts: Carts,
        room: Room,
        principal: Principal,
    ) -> None:
        self._socket = socket
        self._accounts = accounts
        self._carts = carts
        self._room = room
        self._user_id = principal.user_id
        self._connection = Connection(socket.scope, socket.send, principal.user_id, principal.login_id)
        self._reader_busy = False

    @property
    def _ids(self) -> dict[str, str]:
        """What names the phone's person and cart in the log."""
        return {"session_id": self._room.session_id, "user_id": self._user_id}

    @classmethod
    async def admit(
        cls,
        socket: WebSocket[Any, Any, Any],
        accounts: Accounts,
        carts: Carts,
        session_id: str,
        hello: frames.Hello,
    ) -> "_Phone":
        """Check who it is and whose cart, bring the phone up to date, and put it into the room."""
        try:
            principal = await _principal(accounts, hello.token)
            await carts.current(principal.user_id, session_id)
            phone = cls(socket, accounts, carts, await carts.rooms.get(session_id), principal)
            await phone._bring_up_to_date(hello.since)
        except errors.NotFound:
            raise _Refused(CloseCode.NOT_FOUND) from None
        except (errors.Unavailable, StorageError):
            raise _Refused(CloseCode.UNAVAILABLE) from None
        carts.rooms.enter(phone._room, phone._connection)
        log.info("socket opened", extra=phone._ids)
        return phone

    async def _bring_up_to_date(self, since: int | None) -> None:
        """Send the events past `since`, or a snapshot; what comes after is seamless, as nothing awaits in between."""
        room = self._room
        state = room.state
        if state is None or since is None or not 0 <= state.seq - since <= RESUME_AT_MOST:
            self._send_snapshot()
            return
        entries = await self._carts.since(room.session_id, since)
        while True:
            for entry in entries:
                room.receive(entry)
            last = entries[-1].seq if entries else since
            if room.state is None or room.state.seq <= last:
                break
            entries += await self._carts.since(room.session_id, last)
        for entry in entries:
            self._connection.send(frames.encode_entry(entry))

    def _send_snapshot(self) -> None:
        if self._room.state is not None:
            session = session_out(self._room.state)
            self._connection.send(frames.encode(frames.Snapshot(seq=session.seq, session=session)))

    async def serve(self) -> None:
        """Read and write until either side ends it."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._connection.run_writer())]
        bypass = bypass_of(self._socket.scope)
        try:
            if bypass is not None:
                bypass.take_now = self._take_now
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if bypass is not None:
                bypass.take_now = None
            for task in tasks:
                task.cancel()
            ended: int | None = self._connection.closing
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, _Gone | WebSocketDisconnect):
                    ended = ended or result.code
                if isinstance(result, Exception) and not isinstance(result, HUNG_UP):
                    log.error("socket failed", extra=self._ids, exc_info=result)
            metrics.count_close(ended or 1006)
            log.info("socket closed", extra={**self._ids, "code": int(ended or 1006)})
            self._carts.rooms.leave(self._room, self._connection)

    def _take_now(self, payload: bytes) -> bool:
        """Carry out a command within the very read that brought it; everything else is left to the reader.

        Commands keep their order: while one that must wait is in the reader's hands, those after it go there too.
        """
        if self._reader_busy or not self._connection.is_open:
            return False
        try:
            frame = frames.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return not isinstance(frame, frames.Ping | frames.Hello) and self._try_submit(frame)

    async def _read(self) -> None:
        while self._connection.is_open:
            self._reader_busy = False
            text = await _receive(self._socket)
            self._reader_busy = True
            try:
                frame = frames.decode(text)
            except msgspec.ValidationError as error:
                self._refuse(errors.InvalidField(str(error)), _id_of(text))
            except msgspec.DecodeError as error:
                self._refuse(errors.MalformedBody(str(error)), UNSET)
            else:
                await self._handle(frame)

    async def _handle(self, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Ping():
                self._connection.send(frames.encode(frames.Pong()))
            case frames.Hello():
                await self._hello_again(frame)
            case _:
                if not self._try_submit(frame):
                    await self._fetch_and_submit(frame)

    async def _hello_again(self, hello: frames.Hello) -> None:
        """A phone that saw a gap, or has a fresh token."""
        try:
            principal = await _principal(self._accounts, hello.token)
            if principal.user_id != self._user_id:
                raise _Refused(CloseCode.BAD_HELLO)
            self._connection.login_id = principal.login_id
            await self._bring_up_to_date(hello.since)
        except _Refused as refused:
            self._connection.close(refused.code)
        except (errors.Unavailable, StorageError):
            self._connection.close(CloseCode.UNAVAILABLE)

    def _try_submit(self, frame: frames.CommandFrame) -> bool:
        """Queue a command whose facts are at hand; False when they must be fetched first."""
        return self._carts.try_submit(self._room, self._request(frame), partial(self._answer, frame))

    async def _fetch_and_submit(self, frame: frames.CommandFrame) -> None:
        request = self._request(frame)
        try:
            facts = await self._carts.facts(self._room.session_id, request.command)
        except AppError as error:
            self._answer(frame, error)
        except StorageError:
            self._answer(frame, errors.StorageUnavailable())
        else:
            self._room.submit(request, facts, partial(self._answer, frame))

    def _request(self, frame: frames.CommandFrame) -> Request:
        return Request(self._user_id, frame.id, frame.command())

    def _answer(self, frame: frames.CommandFrame, result: int | AppError) -> None:
        if isinstance(result, AppError):
            self._refuse(result, frame.id)
            return
        self._connection.send_with_next(frames.encode(frames.Ack(id=frame.id, seq=result)))
        if isinstance(frame, frames.RemoveMemberFrame):
            self._carts.send_join_link(self._user_id, self._room.session_id)

    def _refuse(self, error: AppError, command_id: str | UnsetType) -> None:
        frame = frames.ErrorFrame(
            code=error.code, detail=error.detail, retryable=error.retryable, id=command_id
        )
        self._connection.send(frames.encode(frame))


class _Identified(msgspec.Struct):
    id: str


def _id_of(text: str) -> str | UnsetType:
    """The id of a frame that is wrong elsewhere, so that the phone knows which it was."""
    try:
        return msgspec.json.decode(text, type=_Identified).id[:64]
    except msgspec.DecodeError:
        return UNSET
