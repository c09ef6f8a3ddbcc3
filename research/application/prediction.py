"""Answers for many inputs: files, folders, globs and lines, one JSON object a line; resumable, and not stopped by bad ones."""

import concurrent.futures
import glob
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from research.application.runtime import BadInput, Bundle, Prepared
from research.config import ConfigError

_WINDOW = 4  # largest batches that are prepared at a time


def named(words: Sequence[str], kind: str, lines: TextIO) -> Iterator[tuple[str, str | pathlib.Path]]:
  """Name and place (a text itself where it was a line) of everything that is to be answered.

  Args:
    words: files, folders (all files below, but hidden ones), globs; "-" for lines: texts, or the names of files where the
      bundle reads no texts.
    kind: what the bundle reads: image, audio or text.
    lines: standard input.

  Raises:
    ConfigError: there is nothing of that name.
  """
  for word in words:
    path = pathlib.Path(word)
    if word == "-":
      for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        yield (f"line {number}", line) if kind == "text" else (line, pathlib.Path(line))
    elif path.is_dir():
      found = [p for p in sorted(path.rglob("*")) if p.is_file() and not any(part.startswith(".") for part in
                                                                             p.relative_to(path).parts)]
      if not found:
        raise ConfigError(f"predict: the folder {word} holds no files")
      yield from ((str(p), p) for p in found)
    elif path.exists():
      yield word, path
    else:
      found = sorted(name for name in glob.glob(word, recursive=True) if os.path.isfile(name))
      if not found:
        raise ConfigError(f"predict: there is no file {word}")
      yield from ((name, pathlib.Path(name)) for name in found)


def answered(path: pathlib.Path) -> set[str]:
  """The names that a file of answers already holds; half a line at its end, of a run that was killed, is cut off.

  Raises:
    ConfigError: the file holds something else.
  """
  if not path.exists():
    return set()
  data = path.read_bytes()
  whole = data[:data.rfind(b"\n") + 1]
  try:
    names = {json.loads(line)["input"] for line in whole.splitlines()}
  except (ValueError, KeyError, TypeError):
    raise ConfigError(f"predict.output={path}: the file holds something else than answers; name another") from None
  if len(whole) < len(data):
    with path.open("rb+") as file:
      file.truncate(len(whole))
  return names


def predict(bundle: Bundle, inputs: Iterable[tuple[str, str | pathlib.Path]], write: Callable[[dict], None],
            between: Callable[[int], None], *, explain: bool, num_threads: int) -> int:
  """Answers everything in order.

  Args:
    bundle: what answers.
    inputs: of `named`.
    write: is given each answer, with "input", its name; or with "error" where there is none.
    between: is told how many are done, and may raise to break off.
    explain: whether each answer has an "explanation".
    num_threads: that decode.

  Returns:
    How many have no answer.
  """
  num_done = num_bad = 0
  with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
    inputs = iter(inputs)
    while window := list(itertools.islice(inputs, _WINDOW * bundle.spec["batch_sizes"][-1])):
      prepared = list(pool.map(lambda item: _prepared(bundle, item[1]), window))
      answers: list[dict] = [{"error": item} if isinstance(item, str) else {} for item in prepared]
      by_shape: dict = {}
      for i, item in enumerate(prepared):
        if isinstance(item, Prepared):
          by_shape.setdefault(bundle.shape(item), []).append((i, item))
      for some in by_shape.values():
        for (i, item), answer in zip(some, bundle.run([item for _, item in some]), strict=True):
          answers[i] = {**answer, "explanation": bundle.explain(item)} if explain else answer
      for (name, _), answer in zip(window, answers, strict=True):
        write({"input": name, **answer})
        num_bad += "error" in answer
      num_done += len(window)
      between(num_done)
  return num_bad


def _prepared(bundle: Bundle, place: str | pathlib.Path) -> Prepared | str:
  """Ready for the device, or why it is not."""
  try:
    return bundle.prepare(place if isinstance(place, str) else place.read_bytes())
  except BadInput as error:
    return str(error)
  except OSError as error:
    return f"cannot be read: {error.strerror or error}"
