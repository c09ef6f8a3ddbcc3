"""The web page's files and what it asks besides answers: which models there are, and their cards."""

import functools
import hashlib
import importlib.resources
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from research.application.protocols.replies import Reply
from research.application.refusals import Refusal
from research.application.requests import Handler
from research.application.service import Service

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
          "svg": "image/svg+xml"}
# Of a bundle's spec, what the page needs.
_TOLD = ("name", "title", "kind", "labels", "inputs", "options", "sample_rate", "explains", "weights")


@functools.cache
def files() -> Mapping[str, tuple[bytes, str, str]]:
  """Content, type and tag of each file by its name; read once, so that no address is ever a path."""
  found = {}
  for entry in importlib.resources.files("research.application.page").iterdir():
    kind = _TYPES.get(entry.name.rpartition(".")[2])
    if kind is not None:
      data = entry.read_bytes()
      found[entry.name] = (data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
  return found


def page_routes(route: Callable[[str, Handler], Route]) -> list[Route]:
  """The page at /, its files below /page, what it asks at /models and /models/NAME/card."""
  return [route("/", _page), route("/page/{name}", _file), route("/models", _models), route("/models/{model}/card", _card)]


async def _page(service: Service, request: Request, body: bytes) -> Response:
  return _sent(request, "index.html")


async def _file(service: Service, request: Request, body: bytes) -> Response:
  return _sent(request, request.path_params["name"])


def _sent(request: Request, name: str) -> Response:
  if name not in files():
    raise Refusal(404, f"the page has no file {name[:80]!r}")
  data, kind, tag = files()[name]
  headers = {"etag": tag, "cache-control": "no-cache"}  # asked about each time, sent when it has changed
  if request.headers.get("if-none-match") == tag:
    return Response(status_code=304, headers=headers)
  return Response(data, media_type=kind, headers=headers)


async def _models(service: Service, request: Request, body: bytes) -> Response:
  told = [{key: bundle.spec[key] for key in _TOLD if key in bundle.spec} | {"model": name}
          for name, bundle in service.bundles.items()]
  return Reply({"models": told, "pixels": service.settings.pixels, "request_bytes": service.settings.request_bytes})


async def _card(service: Service, request: Request, body: bytes) -> Response:
  _, bundle = service.bundle(request.path_params["model"])
  return Response(bundle.card, media_type="text/markdown; charset=utf-8")
