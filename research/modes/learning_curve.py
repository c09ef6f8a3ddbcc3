"""The mode learning_curve."""

from research.config import ConfigError
from research.modes.base import Context


def run(context: Context, settings) -> int:
  raise ConfigError("--mode=learning_curve is not built yet")
