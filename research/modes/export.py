"""The mode export."""

from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings) -> int:
  raise ConfigError("--mode=export is not built yet")
