"""Files that follow from others and are slow to make: made once, kept in a cache folder, never seen half-written."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

from research.data.examples import DataError


def folder() -> pathlib.Path:
  """$XDG_CACHE_HOME/fieldwork, or ~/.cache/fieldwork."""
  return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "fieldwork"


def made_once(kind: str, key: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
  """The cache's folder for a key, which `make` fills if it is not there yet.

  Processes that make the same at once do no harm: the first to end counts.

  Args:
    kind: what it holds, a folder of the cache.
    key: a hash of all that decides the content.
    make: writes the files into an empty folder; what it raises leaves nothing behind.

  Raises:
    DataError: the cache cannot be written.
  """
  final = folder() / kind / key
  if final.exists():
    return final
  try:
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = pathlib.Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{key}-"))
  except OSError as error:
    raise DataError(f"the cache {final.parent} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that "
                    "can") from error
  try:
    make(unfinished)
    try:
      unfinished.rename(final)
    except OSError:
      if not final.exists():
        raise
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
  return final
