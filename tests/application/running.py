"""A server on a thread, and requests to it."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from research.application.listening import Server
from research.application.server import application
from research.application.service import Service
from research.application.settings import Serve


class Running:
  """A server that runs.

  Attributes:
    port: of 127.0.0.1.
    lines: its log, a dictionary a request.
    service: what it asks.
  """

  def __init__(self, bundles: Mapping[str, Any], **settings):
    self.lines: list[dict] = []
    self.service = Service(bundles, Serve(port=0, **settings))
    self._ended = threading.Event()
    self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    self.port = self._listener.getsockname()[1]
    self._server = Server(application(self.service, lambda line: self.lines.append(json.loads(line))), self.service,
                          self._ended.is_set)
    self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
    self._thread.start()
    while not self._server.started:
      time.sleep(0.005)

  def stop(self) -> None:
    """As SIGTERM does."""
    self._ended.set()

  def wait(self) -> None:
    """Until it has ended."""
    self._thread.join()
    self.service.close()

  def ask(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, method: str | None = None):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
    try:
      connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers or {}))
      response = connection.getresponse()
      return response.status, response.headers, response.read()
    finally:
      connection.close()

  def json(self, path: str, data: Any = None, status: int = 200, **headers: str) -> Any:
    """The JSON that answers JSON."""
    body = None if data is None else json.dumps(data).encode()
    found, _, text = self.ask(path, body, {"content-type": "application/json", **headers})
    assert found == status, (found, text)
    return json.loads(text)


@contextlib.contextmanager
def running(bundles: Mapping[str, Any], **settings) -> Iterator[Running]:
  """A server while the context is open."""
  server = Running(bundles, **settings)
  try:
    yield server
  finally:
    server.stop()
    server.wait()


def form(**fields: Any) -> tuple[bytes, dict[str, str]]:
  """The body and headers of a multipart form; bytes become files."""
  boundary, lines = "-----fieldwork", []
  for name, value in fields.items():
    for each in value if isinstance(value, list) else [value]:
      is_file = isinstance(each, bytes)
      lines += [f"--{boundary}".encode(), f'Content-Disposition: form-data; name="{name}"'.encode()
                + (b'; filename="a"' if is_file else b""), b"", each if is_file else str(each).encode()]
  lines += [f"--{boundary}--".encode(), b""]
  return b"\r\n".join(lines), {"content-type": f"multipart/form-data; boundary={boundary}"}
