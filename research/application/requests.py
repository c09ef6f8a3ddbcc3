"""What all requests go through: their body within limits and patience, a time limit, and an end when the client leaves."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from research.application.refusals import ClientLeft, Refusal, busy
from research.application.service import Service

_PATIENCE = 4  # times the largest body, that a larger one is read and forgotten

Handler = Callable[[Service, Request, bytes], Awaitable[Response]]


class Bodies:
  """The bodies that are held in memory, all together within a limit."""

  def __init__(self, service: Service):
    self._service = service
    self._held = 0
    service.metrics.held.set_function(lambda: self._held)

  @contextlib.asynccontextmanager
  async def read(self, request: Request) -> AsyncGenerator[bytes]:
    """The body; its memory counts until the context is left.

    Raises:
      Refusal: it is too large, comes too slowly, or there is no room for it now.
      ClientLeft: the connection was closed before its end.
    """
    settings, size, pieces = self._service.settings, 0, []
    deadline = time.monotonic() + settings.answer_seconds
    too_large = Refusal(413, f"a body of more than {settings.request_bytes} bytes", close=True)
    if _declared(request) > settings.request_bytes:
      if "expect" not in request.headers:
        await _discard(request, _PATIENCE * settings.request_bytes, settings.idle_seconds, deadline)
      raise too_large
    try:
      more = True
      while more:
        message = await _next(request, settings.idle_seconds, deadline)
        if message["type"] == "http.disconnect":
          raise ClientLeft
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        self._held += len(piece)
        if size > settings.request_bytes:
          pieces.clear()
          await _discard(request, _PATIENCE * settings.request_bytes, settings.idle_seconds, deadline)
          raise too_large
        if self._held > settings.memory_bytes:
          raise busy("there is no room for the body now", close=True)
        pieces.append(piece)
      yield b"".join(pieces) if len(pieces) > 1 else pieces[0]
    finally:
      self._held -= size


async def _next(request: Request, patience: float, deadline: float) -> Message:
  try:
    async with asyncio.timeout(min(patience, deadline - time.monotonic())):
      return await request.receive()
  except TimeoutError:
    raise Refusal(408, "the body comes too slowly", close=True) from None


async def _discard(request: Request, most: int, patience: float, deadline: float) -> None:
  """Lets a client send what will not be read: many look at the answer only then, and a closed connection would hide it."""
  size, more = 0, True
  while more and size < most:
    message = await _next(request, patience, deadline)
    size, more = size + len(message.get("body", b"")), message.get("more_body", False)


def _declared(request: Request) -> int:
  length = request.headers.get("content-length", "0")
  return int(length) if length.isdecimal() and len(length) < 19 else 0


def endpoint(service: Service, bodies: Bodies, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
  """A route's function: reads the body, then answers within the time limit or until the client leaves."""

  async def call(request: Request) -> Response:
    request.state.log["route"] = request.scope["route"].path
    async with bodies.read(request) as body:
      request.state.log["bytes"] = len(body)
      return await _within(request, handler(service, request, body), service.settings.answer_seconds)

  return call


async def _within(request: Request, answering: Awaitable[Response], seconds: float) -> Response:
  task, left, over = asyncio.current_task(), False, False
  assert task is not None

  def leave(watcher: asyncio.Task) -> None:
    nonlocal left
    if not over:
      left = True
      task.cancel()

  watcher = asyncio.ensure_future(request.receive())  # after the body it says one thing only: that the client has gone
  watcher.add_done_callback(leave)
  try:
    async with asyncio.timeout(seconds):
      return await answering
  except TimeoutError:
    raise busy(f"there was no answer within {seconds:g} s") from None
  except asyncio.CancelledError:
    if left:
      task.uncancel()
      raise ClientLeft from None
    raise
  finally:
    over = True
    watcher.cancel()
