"""What the modes export, predict and serve can be told."""

import dataclasses

from research.config import outside


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
  """What is put into a bundle."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
  """What is answered.

  Attributes:
    inputs: files, folders and globs, the command's words after the flags; "-" for lines of standard input.
  """

  inputs: tuple[str, ...] = outside(())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve:
  """Where and how the server listens.

  Attributes:
    host: the address.
    port: the port; 0 takes a free one.
  """

  host: str = "127.0.0.1"
  port: int = 8000
