"""Around every request: who may ask, an id, a line in the log, the headers that keep a browser safe."""

import datetime
import hmac
import itertools
import json
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from research.application.service import Service

# Scripts, styles, pictures and requests of this server only; no frames, no forms, no plug-ins.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
_HEADERS = tuple((name.encode(), value.encode()) for name, value in {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}.items())
_OPEN = ("/v2/health/live", "/v2/health/ready", "/")  # and the page's files: they tell nothing of the models
_ID = re.compile(r"[\w.:-]{1,64}")
# Of an id: the process, and the request. Asking the kernel for a random number each time costs as much as parsing a request.
_START, _NUMBERS = secrets.token_hex(6), itertools.count()


class Guard:
  """ASGI middleware, the outermost."""

  def __init__(self, app: ASGIApp, service: Service, token: str | None, write: Callable[[str], object] | None = None):
    """Makes it.

    Args:
      app: what is guarded.
      service: whose metrics count.
      token: that requests must bring, or None.
      write: takes a line of the log; standard output by default.
    """
    self._app, self._service, self._token = app, service, token
    self._write = write or (lambda line: print(line, flush=True))

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
      return await self._app(scope, receive, send)
    if scope["type"] != "http":
      raise AssertionError("the server speaks HTTP only")
    begin, headers = time.perf_counter(), dict(scope["headers"])
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    log: dict[str, Any] = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "id": given if _ID.fullmatch(given) else f"{_START}-{next(_NUMBERS):06x}", "client": (scope.get("client") or ("",))[0],
        "method": scope["method"][:16], "path": scope["path"][:200], "route": "other", "status": 499}
    scope.setdefault("state", {})["log"] = log

    async def answer(message: Message) -> None:
      if message["type"] == "http.response.start":
        log["status"] = message["status"]
        extra = [*_HEADERS, (b"x-request-id", log["id"].encode())]
        if self._service.draining:
          extra.append((b"connection", b"close"))
        message["headers"] = [*message.get("headers", ()), *extra]
      await send(message)

    try:
      await (self._refusal(scope, headers) or self._app)(scope, receive, answer)
    except BaseException:
      log["status"] = 500
      raise
    finally:
      seconds = time.perf_counter() - begin
      self._service.metrics.requests.labels(log["route"], log["status"]).inc()
      self._service.metrics.request_seconds.labels(log["route"]).observe(seconds)
      log["milliseconds"] = round(1000 * seconds, 2)
      try:
        self._write(json.dumps(log))
      except OSError as error:  # a full disk or a closed pipe ends no request
        print(f"the log cannot be written: {error}", file=sys.stderr)

  def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGIApp | None:
    if headers.get(b"sec-fetch-site") == b"cross-site" and scope["method"] != "GET":
      return JSONResponse({"error": "another site's page may not ask this server"}, 403)
    is_open = scope["path"] in _OPEN or scope["path"].startswith("/page/")
    if self._token is None or is_open:
      return None
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token.encode()):
      return None
    return JSONResponse({"error": "a token is needed: Authorization: Bearer ..."}, 401, {"www-authenticate": "Bearer"})
