"""The HTTP server over bundles: `python -m research.application.server --bundles=DIR,DIR`, or launch.py's mode serve."""

import os
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from research.application.guard import Guard
from research.application.listening import Server
from research.application.page.files import page_routes
from research.application.protocols import open_inference, openai, plain
from research.application.protocols.replies import refused
from research.application.refusals import ClientLeft, Refusal
from research.application.requests import Bodies, Handler, endpoint
from research.application.runtime import BadInput, Bundle, BundleError, load
from research.application.service import Service
from research.application.settings import Serve
from research.config import ConfigError, UserError, from_words
from research.training import cache
from research.training.progress import Progress, duration, say


def load_all(folders: Sequence[str | os.PathLike]) -> dict[str, Bundle]:
  """Bundles by their names. Raises ConfigError if one cannot be loaded, or two have a name."""
  bundles: dict[str, Bundle] = {}
  for folder in folders:
    try:
      bundle = load(pathlib.Path(folder).expanduser())
    except BundleError as error:
      raise ConfigError(str(error)) from None
    name = bundle.spec["name"].replace("/", ".")  # a member of a comparison: a name is one part of an address
    if name in bundles:
      raise ConfigError(f"two bundles are named {name}: {bundles[name].folder} and {folder}")
    bundles[name] = bundle
  return bundles


def warm(bundles: Mapping[str, Bundle]) -> None:
  """Compiles every function of every bundle, or takes what was compiled before, and says so."""
  cache.enable()
  for name, bundle in bundles.items():
    begin, programs = time.perf_counter(), bundle.programs
    progress = Progress(len(programs), prefix=f"{name}  ")
    for done, compiled in enumerate(programs, 1):
      compiled()
      progress.line(done, "compiled", "program", every=1)
    say(f"{name}: {bundle.spec['kind']}, ready in {duration(time.perf_counter() - begin)}")


def application(service: Service, write: Callable[[str], object] | None = None) -> Guard:
  """The ASGI application.

  Args:
    service: what it asks.
    write: takes a line of the log; standard output by default.

  Raises:
    ConfigError: the token file cannot be used.
  """
  bodies = Bodies(service)

  def route(path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(path, endpoint(service, bodies, handler), methods=[method])

  async def metrics(service: Service, request: Request, body: bytes) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

  models = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
  app = Starlette(
      routes=[
          route("/predict", plain.predict, "POST"),
          route("/predict/{model}", plain.predict, "POST"),
          *page_routes(lambda path, handler: route(path, handler)),
          route("/v1/models", openai.models),
          route("/v1/models/{model}", openai.models),
          route("/v1/audio/transcriptions", openai.transcriptions, "POST"),
          route("/v1/completions", openai.completions, "POST"),
          route("/v2", open_inference.about_server),
          route("/v2/health/live", open_inference.live),
          route("/v2/health/ready", open_inference.ready),
          *[route(path, open_inference.about_model) for path in models],
          *[route(f"{path}/ready", open_inference.ready) for path in models],
          *[route(f"{path}/infer", open_inference.infer, "POST") for path in models],
          route("/metrics", metrics),
      ],
      exception_handlers={Refusal: _refused, BadInput: _refused, ClientLeft: _left, HTTPException: _unknown})
  app.router.redirect_slashes = False
  return Guard(app, service, _token(service.settings), write)


async def _refused(request: Request, error: Exception) -> Response:
  return refused(request, error)


async def _left(request: Request, error: Exception) -> Response:
  return Response(status_code=499)  # for the log: there is nobody to read it


async def _unknown(request: Request, error: Exception) -> Response:
  assert isinstance(error, HTTPException)
  response = refused(request, Refusal(error.status_code, f"{request.method[:16]} {request.url.path[:100]}: {error.detail}"))
  response.headers.update(error.headers or {})
  return response


def _token(settings: Serve) -> str | None:
  if settings.token_file is None:
    return None
  try:
    words = pathlib.Path(settings.token_file).expanduser().read_text().split()
  except (OSError, UnicodeDecodeError) as error:
    raise ConfigError(f"serve.token_file={settings.token_file} cannot be read: {error}") from None
  if not words or len(words[0]) < 16:
    raise ConfigError(f"serve.token_file={settings.token_file}: its first line must be a token of at least 16 characters")
  return words[0]


def serve(bundles: Mapping[str, Bundle], settings: Serve, stop: Callable[[], bool]) -> None:
  """Compiles, listens and answers until `stop` says to end; then answers what was accepted, and returns.

  Raises:
    ConfigError: the address is taken, or a file that settings name cannot be used.
  """
  if not bundles:
    raise ConfigError("there is nothing to serve: give --serve.bundles=FOLDER")
  family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
  try:
    listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
  except OSError as error:
    raise ConfigError(f"serve.host={settings.host} serve.port={settings.port}: {error.strerror or error}") from None
  with listener:
    service = Service(bundles, settings)
    try:
      server = Server(application(service), service, stop)
      server.config.load()
    except (OSError, ssl.SSLError) as error:
      raise ConfigError(f"serve.certificate={settings.certificate}: {error}") from None
    warm(bundles)
    host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
    print(f"serving {', '.join(bundles)} at {'https' if settings.certificate else 'http'}://{host}:{listener.getsockname()[1]}",
          file=sys.stderr, flush=True)
    server.run(sockets=[listener])
    service.close()


def main(words: Sequence[str]) -> int:
  """Serves by settings given as --name=value, without an experiment. Returns the exit code."""
  settings, ended = from_words(Serve(), words), threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: ended.set())
  serve(load_all(settings.bundles), settings, ended.is_set)
  return 0


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv[1:]))
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
