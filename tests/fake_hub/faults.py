"""What can go wrong on the way to the loopback Hub, told by a test beforehand."""

import asyncio
import fnmatch
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

Sever = Callable[[dict, bool], None]  # ends the connection of a scope, and says so to the other side or resets it
Play = Callable[..., Awaitable[None]]  # one request going wrong: (app, scope, receive, send, sever)


def refusal(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Play:
    """An answer of this status instead of what was asked for."""
    body = json.dumps({"error": message}).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), "x-error-message": message}
    told |= ({"x-error-code": code} if code else {}) | (headers or {})
    raw = [(name.encode(), value.encode()) for name, value in told.items()]

    async def play(app, scope, receive, send, sever):
        await read_all(receive)
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return play


def error(status: int = 500, message: str = "Internal Error - We're working hard to fix this as soon as possible!"):
    return refusal(status, message)


def rate_limit(retry_after: int = 1) -> Play:
    return refusal(429, "We had to rate limit you", headers={"retry-after": str(retry_after)})


def missing() -> Play:
    return refusal(404, "Entry not found", "EntryNotFound")


def quota() -> Play:
    return refusal(403, "Private repository storage limit reached, please upgrade your plan")


def cut(after_bytes: int = 0, reset: bool = False) -> Play:
    """The connection ends after that many bytes of what is sent up or, where that is shorter, down."""

    async def play(app, scope, receive, send, sever):
        line = Line(receive, send, lambda: sever(scope, reset))
        if after_bytes == 0:
            await line.cut()
        else:
            await app(scope, line.limited_receive(after_bytes), line.limited_send(after_bytes))

    return play


def lose_answer() -> Play:
    """What was asked for is done, and the connection ends before the answer."""

    async def play(app, scope, receive, send, sever):
        line = Line(receive, send, lambda: sever(scope, False))
        await app(scope, receive, line.limited_send(-1))

    return play


def slow(seconds: float) -> Play:
    """Nothing happens for a while."""

    async def play(app, scope, receive, send, sever):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return  # the Hub goes down
        await app(scope, receive, send)

    return play


def corrupt() -> Play:
    """One byte of what is sent up, or else of the answer, arrives changed; its length stays."""

    async def play(app, scope, receive, send, sever):
        async def corrupt_receive():
            return spoiled(await receive())

        async def corrupt_send(message):
            await send(spoiled(message))

        if scope["method"] in ("PUT", "POST"):
            await app(scope, corrupt_receive, send)
        else:
            await app(scope, receive, corrupt_send)

    return play


KINDS = {
    "error": error,
    "rate-limit": rate_limit,
    "missing": missing,
    "quota": quota,
    "cut": cut,
    "lose-answer": lose_answer,
    "slow": slow,
    "corrupt": corrupt,
}


class Line:
    """A request's two directions, until one of them has carried what it may."""

    def __init__(self, receive, send, sever: Callable[[], None]):
        self._receive, self._send, self._sever = receive, send, sever
        self._is_cut = False

    async def cut(self) -> None:
        self._is_cut = True
        self._sever()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def limited_receive(self, limit: int):
        received = 0

        async def receive():
            nonlocal received
            if self._is_cut:
                return {"type": "http.disconnect"}
            message = await self._receive()
            received += len(message.get("body", b""))
            if received > limit:
                await self.cut()
                return {"type": "http.disconnect"}
            return message

        return receive

    def limited_send(self, limit: int):
        left = limit

        async def send(message):
            nonlocal left
            if self._is_cut:
                return
            body = message.get("body", b"")
            if left >= len(body):
                left -= len(body)
                await self._send(message)
                return
            if left > 0:
                await self._send({**message, "body": body[:left], "more_body": True})
            await self.cut()

        return send


async def read_all(receive) -> None:
    """Take the rest of what is sent up, since a client may listen only when it has said everything."""
    message = {"more_body": True}
    while message.get("more_body", False):
        message = await receive()


def spoiled(message: dict) -> dict:
    body = message.get("body", b"")
    return {**message, "body": body[:-1] + bytes([body[-1] ^ 0xFF])} if body else message


@dataclass
class Fault:
    """What goes wrong, for which requests, how often; `hits` says how often it has."""

    path: str  # a pattern as in fnmatch, for the unquoted path
    play: Play
    method: str | None = None  # None: any
    times: int | None = 1  # None: until healed
    skip: int = 0  # so many requests pass before
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        if self.method not in (None, method) or not fnmatch.fnmatchcase(path, self.path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


@dataclass
class Served:
    """One request that reached the Hub; `status` is 0 as long as no answer is given."""

    method: str
    path: str  # unquoted
    headers: dict[str, str]  # of the request, names in lower case
    status: int = 0


class Faults:
    """An ASGI application round another: makes its requests go wrong as told, and remembers all of them."""

    def __init__(self, app, sever: Sever):
        self._app, self._sever = app, sever
        self._lock = threading.Lock()
        self.planned: list[Fault] = []
        self.served: list[Served] = []

    def plan(self, path: str, kind: str, *, method: str | None, times: int | None, skip: int, **options) -> Fault:
        fault = Fault(path, KINDS[kind](**options), method, times, skip)
        with self._lock:
            self.planned.append(fault)
        return fault

    def forget(self) -> None:
        with self._lock:
            self.planned.clear()

    def _next(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.planned if fault.takes(method, path)), None)

    async def __call__(self, scope, receive, send) -> None:
        method, path = scope["method"], unquote(scope["raw_path"].decode("ascii"))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        served = Served(method, path, headers)
        self.served.append(served)

        async def noted_send(message):
            served.status = message.get("status", served.status)
            await send(message)

        fault = self._next(method, path)
        if fault is None:
            await self._app(scope, receive, noted_send)
        else:
            await fault.play(self._app, scope, receive, noted_send, self._sever)
