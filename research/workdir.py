"""Working directories: where a run lives, which one a command means, and files that are whole or absent."""

import contextlib
import dataclasses
import datetime
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from etils import epath

from research.config import ConfigError, differences, from_json, to_json
from research.studies.base import Findings
from research.training.distributed import from_first
from research.training.interruption import Interruption
from research.training.progress import Progress

HOME = "~/fieldwork"


def write_json(path: epath.Path, data: Any) -> None:
  """Writes a file that is either whole or not there."""
  write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_text(path: epath.Path, text: str) -> None:
  temporary = path.parent / f".{path.name}.tmp"
  temporary.write_text(text)
  temporary.replace(path)


def read_json(path: epath.Path) -> Any:
  """Reads a JSON file. Raises ConfigError if it is not one."""
  try:
    return json.loads(path.read_text())
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ConfigError(f"{path} is damaged ({error}); remove it, or use another --workdir") from None


def finished(folder: epath.Path) -> bool:
  return (folder / "record.json").exists()


def for_training(name: str, config: Any, workdir: str | None) -> epath.Path:
  """The folder a training command means: the one named, the newest unfinished run of an equal config, or a new one.

  Raises:
    ConfigError: the named folder belongs to another config (the differences are listed) or cannot be written; several
      processes were given none, and each would choose one of its own.
  """
  if workdir:
    folder = epath.Path(workdir).expanduser()
  elif jax.process_count() > 1:
    raise ConfigError("processes that train together need --workdir, a folder that all of them see")
  else:
    root = epath.Path(HOME).expanduser() / name
    unfinished = [f for f in _runs(root) if not finished(f) and _is_equal(f, config) and _Lock.is_free(f)]
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = unfinished[-1] if unfinished else _unused(root / stamp)
  from_first(lambda: _take(folder, config))
  return folder


def _take(folder: epath.Path, config: Any) -> None:
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"{folder} is a file. Name another --workdir.")
  if (folder / "config.json").exists():
    changed = differences(_saved_config(folder, config), config)
    if changed:
      raise ConfigError(f"{folder} holds a run of another config: {'; '.join(changed)}. Name another --workdir.")
  elif folder.exists() and any(not f.name.startswith(".") for f in folder.iterdir()):
    raise ConfigError(f"{folder} is not empty and holds no run. Name another --workdir.")
  try:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.json").exists():
      write_json(folder / "config.json", to_json(config))
  except OSError as error:
    raise ConfigError(f"the working directory {folder} cannot be written: {error.strerror or error}") from None
  _Lock.take(folder)


def check_config(folder: epath.Path, config: Any) -> None:
  """Raises ConfigError if the run in a folder is of another config."""
  changed = differences(_saved_config(folder, config), config)
  if changed:
    raise ConfigError(f"the run in {folder} is of another config: {'; '.join(changed)}. Give the same settings, or --workdir")


def for_reading(name: str, workdir: str | None, untrained: Any = None) -> epath.Path:
  """The folder that the other modes mean: the one named, or the newest finished run.

  Args:
    name: of the experiment.
    workdir: the folder that was named, or None.
    untrained: an experiment that trains nothing: where it was not run, it has the folder that it would be run in.

  Raises:
    ConfigError: there is none; it says what to run first.
  """
  if workdir:
    folder = epath.Path(workdir).expanduser()
    if not (folder / "config.json").exists():
      if untrained is not None:
        return for_training(name, untrained, workdir)
      train = f"python launch.py --experiment={name} --workdir={workdir}"
      raise ConfigError(f"--workdir={workdir} holds no run. Train first: {train}")
    return folder
  runs = [f for f in _runs(epath.Path(HOME).expanduser() / name) if finished(f)]
  if not runs and untrained is not None:
    return for_training(name, untrained, None)
  if not runs:
    raise ConfigError(f"there is no finished run of {name}. Train first: python launch.py --experiment={name}")
  return runs[-1]


def _unused(folder: epath.Path) -> epath.Path:
  names = (folder if not i else folder.parent / f"{folder.name}_{i}" for i in range(1000))
  return next(f for f in names if not f.exists())


def _runs(root: epath.Path) -> list[epath.Path]:
  """Run folders below a root, oldest first."""
  return sorted((f for f in root.iterdir() if (f / "config.json").exists()), key=lambda f: f.name) if root.exists() else []


def _saved_config(folder: epath.Path, like: Any) -> Any:
  try:
    return from_json(read_json(folder / "config.json"), like)
  except (KeyError, TypeError, ImportError, AttributeError) as error:
    raise ConfigError(f"{folder}/config.json is of another version of the code ({error}); use another --workdir") from None


def _is_equal(folder: epath.Path, config: Any) -> bool:
  try:
    return not differences(_saved_config(folder, config), config)
  except ConfigError:
    return False  # a run of other code, or a damaged one: not ours to go on with


class _Lock:
  """One process trains in a folder. The lock goes with the process, however it ends; gs:// folders have none."""

  held = None

  @classmethod
  def _open(cls, folder: epath.Path):
    return None if "://" in str(folder) else open(folder / ".lock", "w")

  @classmethod
  def _try(cls, folder: epath.Path):
    import fcntl  # here: not on Windows

    file = cls._open(folder)
    try:
      return file if file is None else (fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB), file)[1]
    except BlockingIOError:
      file.close()
      raise

  @classmethod
  def is_free(cls, folder: epath.Path) -> bool:
    try:
      file = cls._try(folder)
    except BlockingIOError:
      return False
    if file is not None:
      file.close()
    return True

  @classmethod
  def take(cls, folder: epath.Path) -> None:
    try:
      cls.held = cls._try(folder)
    except BlockingIOError:
      raise ConfigError(f"another process is training in {folder}") from None


@dataclasses.dataclass(frozen=True)
class Run:
  """What an experiment is given to run with, for one seed or one member.

  Attributes:
    folder: where its files go.
    data_dir: where data lie, or None.
    interruption: whether somebody wants the process to end.
    label: put before progress lines.
  """

  folder: epath.Path
  data_dir: epath.Path | None
  interruption: Interruption
  label: str = ""

  def child(self, name: str) -> "Run":
    """A run below this one: a seed, or a member of a comparison."""
    folder = self.folder / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(self, folder=folder, label=f"{self.label}{name}  ")

  def each(self, name: str, items: Iterable[Any], compute: Callable[[Any], Any]) -> list[Any]:
    """See `research.studies.base.Parts`."""
    items = list(items)
    paths = [self.folder / "parts" / f"{_slug(f'{name}={item}')}.json" for item in items]
    assert len(set(paths)) == len(paths), f"items of part {name!r} are not distinct: {items}"
    (self.folder / "parts").mkdir(exist_ok=True)
    progress = Progress(len(items), sum(p.exists() for p in paths), self.label)
    values = []
    for done, (item, path) in enumerate(zip(items, paths), 1):
      self.interruption.raise_if_requested()
      if not from_first(path.exists):
        value = plain(compute(item))
        from_first(lambda: write_json(path, value))  # noqa: B023 (called at once)
        progress.line(done, f"{name}={item}", unit="part")
      values.append(read_json(path))
    return values


def _slug(text: str) -> str:
  return re.sub(r"[^\w.=+-]+", "_", text)[:100]


def plain(value: Any) -> Any:
  """Arrays and numpy numbers as JSON values."""
  if isinstance(value, dict):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(v) for v in value]
  return np.asarray(value).tolist() if isinstance(value, (np.ndarray, np.generic, jax.Array)) else value


def measured(experiment, seed: int, run: Run) -> Findings:
  """The findings of a seed: read if they are there, else measured and saved."""
  path = run.folder / "findings.json"
  if not from_first(path.exists):
    begin = time.monotonic()
    try:
      findings = experiment.measure(seed, run)
    finally:
      if jax.process_index() == 0:
        with contextlib.suppress(OSError):  # a full disk has stopped something that says so
          write_json(run.folder / "seconds.json", _of_processes(run) + time.monotonic() - begin)
    from_first(lambda: write_json(path, to_json(findings)))
  return from_json(read_json(path))


def spent(run: Run, findings: Findings) -> float:
  """Seconds of work that went into a run's findings, over all its processes.

  One that was killed has not said how long it took; what it saved has counted at least its parts.
  """
  return max(_of_processes(run), sum(findings.seconds.values()))


def _of_processes(run: Run) -> float:
  path = run.folder / "seconds.json"
  return read_json(path) if path.exists() else 0.0
