"""What is written beside StableHLO, for other runtimes: the same answer in the formats of `formats`, a file each."""

import contextlib
import importlib.util
import pathlib
from collections.abc import Callable, Generator, Sequence

import numpy as np

from research.application.formats import onnx, saved_model, tflite
from research.application.formats.program import Program
from research.application.runtime import Bundle, Prepared
from research.config import ConfigError, UserError
from research.tasks.application import Application

FORMATS = {"saved_model": saved_model, "tflite": tflite, "onnx": onnx}


class FormatError(UserError):
  """A network that a format cannot hold."""


def check_installed(names: Sequence[str]) -> None:
  """Raises ConfigError, which names the extra, where a format's packages are missing. Nothing is imported."""
  for name in names:
    missing = [package for package in FORMATS[name].NEEDS if importlib.util.find_spec(package) is None]
    if missing:
      raise ConfigError(f"export.also={name} needs {' and '.join(missing)}: pip install 'fieldwork[{name.replace('_', '-')}]'")


def check_possible(names: Sequence[str], application: Application) -> None:
  """Raises ConfigError, which says why, where a format has no way to compute an application's answers."""
  for name in names:
    if why := FORMATS[name].CANNOT.get(application.kind):
      raise ConfigError(f"export.also={name}: no {application.kind}: {why}")


def write(name: str, programs: Sequence[Program], folder: pathlib.Path) -> None:
  """Writes a format into the folder of a bundle. Raises FormatError if its converter gives up."""
  target = folder / "formats" / name
  target.mkdir(parents=True)
  with _telling(name):
    FORMATS[name].write(programs, target)


def answering(name: str, bundle: Bundle) -> Callable[[Sequence[Prepared]], dict[str, np.ndarray]]:
  """What `Bundle.arrays` does, by a format's own runtime from the files in the bundle's folder. Raises FormatError, as what it
  returns does, if that cannot run them."""
  with _telling(name):
    run = FORMATS[name].load(bundle.folder / "formats" / name)

  def answer(inputs):
    with _telling(name):
      return run(inputs[0].shape, bundle.batch(inputs, len(inputs)))

  return answer


@contextlib.contextmanager
def _telling(name: str) -> Generator[None]:
  try:
    yield
  except Exception as error:  # whatever a converter or a runtime raises on what it does not know
    why = " ".join(str(error).split())[:300] or type(error).__name__
    raise FormatError(f"no bundle was made: export.also={name} cannot hold this network: {why}") from error
