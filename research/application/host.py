"""The host's way from what a person gives to a network's features: of all that training did, what such an input needs."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from research.config import ConfigError
from research.data.intake import Intake
from research.preprocessing.arrays import Rename, Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.decoding import DecodeImage
from research.preprocessing.transform import Features, MissingFeatureError, Transform
from research.tasks.application import Modality

MAX_BYTES, MAX_CHARACTERS = 2**26, 200_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Host:
  """What a bundle does before the device.

  Attributes:
    field: the feature that a person's input becomes.
    listed: whether it is a list of texts, of which a person gives one.
    transforms: from there to the network's features.
  """

  field: str
  listed: bool
  transforms: tuple[Transform, ...]

  @property
  def modality(self) -> Modality:
    decoders = [transform for transform in self.transforms if isinstance(transform, (DecodeImage, DecodeAudio))]
    return "text" if not decoders else "image" if isinstance(decoders[0], DecodeImage) else "audio"

  @property
  def limits(self) -> dict[str, float]:
    if self.modality == "text":
      return {"bytes": MAX_BYTES, "characters": MAX_CHARACTERS}
    limits: dict[str, float] = {"bytes": MAX_BYTES}
    for transform in self.transforms:
      if isinstance(transform, DecodeImage):
        limits["pixels"] = transform.max_pixels
      elif isinstance(transform, DecodeAudio):
        limits["seconds"] = transform.max_seconds
    return limits

  @property
  def rate(self) -> int | None:
    """Samples a second of audio."""
    return next((transform.rate for transform in self.transforms if isinstance(transform, DecodeAudio)), None)

  def lasting(self, seconds: float) -> "Host":
    """The same, for recordings of so many seconds."""
    transforms = [dataclasses.replace(transform, max_seconds=seconds) if isinstance(transform, DecodeAudio) else transform
                  for transform in self.transforms]
    return dataclasses.replace(self, transforms=tuple(transforms))


def host(intake: Intake, transforms: Sequence[Transform], needed: Sequence[str], folder: pathlib.Path) -> Host:
  """Finds the one feature of an example that people can give and that suffices.

  Args:
    intake: of the examples.
    transforms: of the data, done behind it.
    needed: the network's features.
    folder: where the files are that transforms need.

  Raises:
    ConfigError: there is no such feature, or there are several.
  """
  first = {name: values[0] for name, values in intake.examples.read(np.zeros(1, np.int64)).items()}
  given = first if intake.file is None else {"record": intake.file(first)}
  texts = lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value)
  found = []
  for field, value in given.items():
    if isinstance(value, (str, bytes)) or texts(value):
      features: Features = {field: [value]}
      kept: list[Transform] = []
      for transform in (*intake.transforms, *transforms):
        features, done = _done(transform, features, folder)
        kept += done
      if all(name in features for name in needed):
        found.append(Host(field=field, listed=texts(value), transforms=tuple(kept)))
  if len(found) != 1:
    shown = f"either of {', '.join(host.field for host in found)} would do" if found else (
        f"none of {', '.join(given)} is a file or a text of which {' and '.join(needed)} can be made")
    raise ConfigError(f"this experiment cannot become an application: of what its examples hold, {shown}")
  return found[0]


def _done(transform: Transform, features: Features, folder: pathlib.Path) -> tuple[Features, list[Any]]:
  """The features afterwards, and the transform in so far as it is about what is there: labels and references are not."""
  if isinstance(transform, Rename):
    transform = Rename(pairs=tuple(pair for pair in transform.pairs if pair[0] in features))
  elif isinstance(transform, Select):
    transform = Select(names=tuple(name for name in transform.names if name in features))
  try:
    return transform.at(folder)(features, None), [transform]
  except MissingFeatureError:
    return features, []
