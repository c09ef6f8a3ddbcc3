"""The mode plan."""

from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings) -> int:
  raise ConfigError("--mode=plan is not built yet")
