"""uvicorn with patience that ends, and an end that loses nobody."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from research.application.service import Service

_MOST_CONNECTIONS = 1000
_LARGEST_HEAD = 1 << 16  # bytes
_NOTICE_SECONDS = 0.5  # for a balancer to see that this server ends, and for requests that are under way to it


class Patient(HttpToolsProtocol):
  """HTTP/1.1 on a connection that is closed if a request's head is too large, or takes too long, as a slow client's would."""

  _timer: asyncio.TimerHandle | None = None
  _size = 0

  def connection_made(self, transport) -> None:
    super().connection_made(transport)
    # asyncio does so only where a listener names its protocol; without it a body waits 40 ms for the head's receipt.
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if len(self.connections) > _MOST_CONNECTIONS:
      transport.close()
    self._wait()

  def data_received(self, data: bytes) -> None:
    super().data_received(data)
    self._wait()
    self._size = self._size + len(data) if self._timer is not None else 0
    if self._size > _LARGEST_HEAD:
      self.transport.close()

  def connection_lost(self, exc: Exception | None) -> None:
    super().connection_lost(exc)
    self._forget()

  def _wait(self) -> None:
    """A timer runs from the first byte of a head, or the connection's beginning, until the head is whole."""
    if self.cycle is not None and not self.cycle.response_complete:
      self._forget()
    elif self._timer is None:
      self._timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

  def _forget(self) -> None:
    if self._timer is not None:
      self._timer.cancel()
      self._timer = None


class Server(uvicorn.Server):
  """Ends when it is asked to, after it has answered what was accepted."""

  def __init__(self, app: Any, service: Service, stop: Callable[[], bool]):
    """Prepares.

    Args:
      app: an ASGI application.
      service: what it asks; its settings decide.
      stop: asked ten times a second whether to end.
    """
    settings = service.settings
    super().__init__(uvicorn.Config(
        app, http=Patient, ws="none", loop="uvloop", lifespan="off", log_config=None, log_level="error", access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=max(1, round(settings.idle_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        ssl_certfile=settings.certificate, ssl_keyfile=settings.key))
    self._service, self._stop = service, stop

  @contextlib.contextmanager
  def capture_signals(self) -> Generator[None]:
    """Signals are the caller's, which `stop` asks."""
    yield

  async def on_tick(self, counter: int) -> bool:
    self.should_exit = self.should_exit or self._stop()
    return await super().on_tick(counter)

  async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
    """First readiness fails and every response closes its connection; then nobody new is let in; then the rest is answered."""
    self._service.draining = True
    await asyncio.sleep(_NOTICE_SECONDS)
    for listener in sockets or ():
      self._accept_all(listener)
    for server in self.servers:
      server.close()
    await asyncio.sleep(_NOTICE_SECONDS)
    await super().shutdown(sockets)

  def _accept_all(self, listener: socket.socket) -> None:
    """Takes the connections that the kernel has accepted for us: closing the listener would cut them off."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    make = functools.partial(Patient, self.config, self.server_state, {})
    with contextlib.suppress(BlockingIOError):
      while True:
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._late = loop.create_task(loop.connect_accepted_socket(make, connection, ssl=self.config.ssl))
