"""The mode predict: what was exported answers for files, folders, globs and standard input."""

import json
import os
import pathlib
import sys
from typing import TextIO

from research import process
from research.application import prediction, runtime
from research.application.settings import Predict
from research.config import ConfigError
from research.modes.base import Context
from research.training.progress import Progress, say


def run(context: Context, settings: Predict) -> int:
  """Returns 1 where something could not be answered. Raises ConfigError where nothing can be."""
  if not settings.inputs:
    raise ConfigError("--mode=predict needs files, folders or globs behind the flags, or - for lines of standard input")
  bundle = _bundle(context, settings)
  if settings.explain and bundle.spec["explains"] is None:
    raise ConfigError(f"predict.explain=True: the bundle {bundle.folder} explains nothing")
  output = None if settings.output is None else pathlib.Path(settings.output)
  done = set() if output is None else prediction.answered(output)
  inputs = prediction.named(settings.inputs, bundle.spec["inputs"]["type"], sys.stdin)
  total = None
  if "-" not in settings.inputs:
    inputs = [item for item in inputs if item[0] not in done]
    total = len(inputs)
  left = (item for item in inputs if item[0] not in done)
  if done:
    say(f"{output} already has {len(done):,} answers")
  if total == 0:
    return 0
  try:
    stream: TextIO = sys.stdout if output is None else output.open("a", encoding="utf-8")
  except OSError as error:
    raise ConfigError(f"predict.output={output}: cannot be written: {error.strerror}") from None
  progress = Progress(total) if total else None

  def between(num_done: int) -> None:
    stream.flush()
    if progress is not None:
      progress.line(num_done, "answered", unit="input", every=1)
    context.interruption.raise_if_requested()

  try:
    num_bad = prediction.predict(
        bundle, left, lambda answer: print(json.dumps(answer, ensure_ascii=False), file=stream), between,
        explain=settings.explain, num_threads=process.cores())
  finally:
    if output is not None:
      stream.close()
  if num_bad:
    say(f"{num_bad} could not be answered: see their \"error\"")
  return int(num_bad > 0)


def _bundle(context: Context, settings: Predict) -> runtime.Bundle:
  if settings.bundle is None:
    folder = context.finished()[1].folder / "export"
    if not (folder / "bundle.json").exists():
      member = f" --member={context.member}" if context.member else ""
      raise ConfigError(f"{folder} holds no bundle. Export first: python launch.py --experiment={context.name}{member} "
                        "--mode=export")
  else:
    folder = pathlib.Path(settings.bundle)
  try:
    return runtime.load(os.fspath(folder))
  except runtime.BundleError as error:
    raise ConfigError(str(error)) from None
