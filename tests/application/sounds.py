"""Files of sound that tests give to applications, and train none on."""

import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np
import soundfile
from etils import epath

from research.data.sources import Source
from research.data.speech import AudioFiles


def file(samples: np.ndarray, rate: int) -> bytes:
  stream = io.BytesIO()
  soundfile.write(stream, samples, rate, format="WAV")
  return stream.getvalue()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sounds(Source):
  """Files 0.wav, 1.wav, ...

  Attributes:
    folder: where they are.
    texts: of each.
    seconds: of each.
  """

  folder: str
  texts: tuple[str, ...]
  seconds: tuple[float, ...]

  def open_all(self, data_dir):
    return AudioFiles(epath.Path(self.folder), [f"{i}.wav" for i in range(len(self.texts))], {"text": list(self.texts)},
                      lengths=np.array(self.seconds))

  def files(self, data_dir):
    return ()


def sounds(folder: pathlib.Path, recordings: Sequence[np.ndarray], rate: int, texts: Sequence[str]) -> Sounds:
  """Writes the files."""
  for i, samples in enumerate(recordings):
    (folder / f"{i}.wav").write_bytes(file(samples, rate))
  return Sounds(folder=str(folder), texts=tuple(texts), seconds=tuple(len(samples) / rate for samples in recordings))
