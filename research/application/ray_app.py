"""Bundles on Ray Serve: several replicas of the same server behind Ray's proxy, which restarts those that fail.

    serve run research.application.ray_app:build bundles=/shared/export,/shared/other replicas=2

Needs Ray of its own (`pip install "ray[serve]"`). What is asked of the server, and what it answers, is the same as without Ray;
where it listens, and TLS, are Ray's.
"""

from collections.abc import Mapping
from typing import Any

from research.application.server import application, load_all, warm
from research.application.service import Service
from research.application.settings import Serve
from research.config import ConfigError, leaves, override


def build(arguments: Mapping[str, Any]) -> Any:
  """Ray's application.

  Args:
    arguments: `bundles`, folders that all machines see, separated by commas; `replicas`; and settings of `Serve` by name.

  Raises:
    ConfigError: one of them is unknown or wrong.
  """
  from ray import serve  # here: no other part of the house needs it

  given = dict(arguments)
  replicas = str(given.pop("replicas", 1))
  if not replicas.isdecimal() or replicas == "0":
    raise ConfigError(f"replicas={replicas}: must be a number from 1")
  known = {leaf.path for leaf in leaves(Serve())} - {"host", "port", "certificate", "key"}
  if unknown := sorted(given.keys() - known):
    raise ConfigError(f"{unknown[0]!r}: there are replicas, {', '.join(sorted(known))}")
  settings = override(Serve(), given)

  def ready_application():
    bundles = load_all(settings.bundles)
    warm(bundles)
    return application(Service(bundles, settings))

  class Replica:
    """One process with every bundle."""

  replica: Any = serve.deployment(
      name="bundles", num_replicas=int(replicas), max_ongoing_requests=settings.queue,
      graceful_shutdown_timeout_s=settings.drain_seconds)(serve.ingress(ready_application)(Replica))
  return replica.bind()
