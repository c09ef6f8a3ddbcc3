"""The mode serve: what was exported, as an HTTP server with a web page."""

from research.application.settings import Serve
from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings: Serve) -> int:
  """Serves until SIGTERM or SIGINT. Raises ConfigError if there is nothing to serve."""
  try:
    from research.application import server  # here: it needs the extra
  except ModuleNotFoundError as error:
    raise ConfigError(f"--mode=serve needs {error.name}: pip install 'fieldwork[serve]'") from None

  _, run = context.finished()
  own = run.folder / "export"
  if not (own / "bundle.json").exists():
    raise ConfigError(f"{own} holds no bundle. Export first: python launch.py --experiment={context.name} --mode=export")
  bundles = server.load_all([own, *settings.bundles])
  context.interruption.unsaved = True  # the end waits for what was accepted, by the server's own limit
  server.serve(bundles, settings, lambda: context.interruption.requested)
  context.interruption.unsaved = False
  return 0
