"""What the mode explain can be told."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explain:
  """What is explained, and how.

  Attributes:
    split: the evaluation split whose examples are explained; None for the first.
    num_examples: examples, spread evenly over the split.
  """

  split: str | None = None
  num_examples: int = 32
