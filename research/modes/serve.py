"""The mode serve."""

from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings) -> int:
  raise ConfigError("--mode=serve is not built yet")
