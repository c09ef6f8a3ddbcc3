"""What language models are scored by: summed nats over a count, whose unit is in the name. Sums (nats, count)."""

import math
from typing import Literal

import numpy as np

from research.metrics.base import Metric, mean

Unit = Literal["token", "subword", "word", "character", "byte"]


def perplexity(sums: np.ndarray) -> float:
  """exp of the nats a unit; infinite where that is beyond a float."""
  nats = mean(sums)
  return math.exp(nats) if nats < 700 else nats if math.isnan(nats) else math.inf


def bits(sums: np.ndarray) -> float:
  """Nats a unit, in bits."""
  return mean(sums) / math.log(2)


def nats_per(unit: Unit, protocol: str = "") -> dict[str, Metric]:
  """The loss: nats for each predicted token, or for what else the text is counted in."""
  return {f"nats_per_{unit}": Metric(mean, _signature("nats", unit, protocol))}


def bits_per(unit: Unit, protocol: str = "") -> dict[str, Metric]:
  """Bits for each byte or character: independent of how the text was cut into tokens."""
  return {f"bits_per_{unit}": Metric(bits, _signature("bits", unit, protocol))}


def perplexity_per(unit: Unit, protocol: str = "") -> dict[str, Metric]:
  """exp of the nats of all tokens divided by the number of `unit`s.

  A model of subwords has a perplexity per subword, and one per word: the same nats over fewer units. Only the second can be
  compared with a model of other subwords.

  Args:
    unit: what is counted.
    protocol: put into the signature: which text (the full split), how long a window, which stride, what was normalized.
  """
  return {f"perplexity_per_{unit}": Metric(perplexity, _signature("exp of nats", unit, protocol))}


def _signature(what: str, unit: Unit, protocol: str) -> str:
  return "|".join(filter(None, (f"{what}/{unit}", protocol)))
