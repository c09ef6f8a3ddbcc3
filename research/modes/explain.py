"""The mode explain."""

from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings) -> int:
  raise ConfigError("--mode=explain is not built yet")
