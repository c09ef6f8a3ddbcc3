"""How what a person gives, a file or a text, becomes an example: the way that an application goes."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from research.data.examples import Examples, Subset
from research.preprocessing.text.base import Tokenizer
from research.preprocessing.transform import Transform


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intake:
  """The innermost source's examples, and all that is done to one of them until a network's features are there.

  Attributes:
    examples: with what people give as a feature: `record`, a file's bytes; a text.
    transforms: in their order; files that they need are named as in `tokenizers`.
    tokenizers: by the folder, relative, that transforms name.
    file: makes the file of an example whose source holds no files but arrays, which `transforms` decode as `record`; None
      where the examples are what people give.
  """

  examples: Examples
  transforms: tuple[Transform, ...] = ()
  tokenizers: Mapping[str, Tokenizer] = dataclasses.field(default_factory=dict)
  file: Callable[[dict[str, Any]], bytes] | None = None

  def then(self, transforms: tuple[Transform, ...], *, tokenizers: Mapping[str, Tokenizer] = MappingProxyType({})) -> "Intake":
    """With further transforms."""
    return dataclasses.replace(self, transforms=(*self.transforms, *transforms), tokenizers={**self.tokenizers, **tokenizers})

  def part(self, source) -> "Intake":
    """Of the examples that a source's `skip` and `limit` leave."""
    if not source.skip and source.limit is None:
      return self
    stop = len(self.examples) if source.limit is None else min(source.skip + source.limit, len(self.examples))
    return dataclasses.replace(self, examples=Subset(self.examples, np.arange(source.skip, stop)))


def png(image: np.ndarray) -> bytes:
  """The file of an image, (H, W), (H, W, 1) or (H, W, 3) uint8; nothing of it is lost."""
  done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
  assert done, image.shape
  return data.tobytes()
