"""Checkpoints: Orbax writes and reads the arrays; this file decides which of them exist and which can be trusted.

A step lives in `<folder>/<step>/`: what Orbax writes, `facts.json`, and a manifest of digests (Orbax does not notice
changed bytes). While a step is being written or deleted, the empty file `<folder>/<step>.unfinished` stands beside it:
whatever it names may be removed, and is by the next save. A step that does not match its manifest is never deleted but
renamed to `<step>.damaged`.

Arrays are stored flat under their path ("params/layers/0/kernel"), so that a state may change its containers (a tuple
to a list, a NamedTuple to a dataclass) and still read its old checkpoints. Empty containers and None hold no array and
come from the state that is restored into.

With several processes every method but `steps` is called by all of them; the folder is shared, process 0 decides.
"""

import contextlib
import errno
import json
import math
import os
import threading
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

from research.config import UserError
from research.training import digests
from research.training.distributed import from_first

_FACTS = "facts.json"
_UNFINISHED = ".unfinished"
_DAMAGED = ".damaged"


class CheckpointError(UserError):
  """A checkpoint could not be written, or none can be read into this state."""


class Checkpoints:
  """The checkpoints of one run, to be used in a `with`: a save under way when the interpreter ends is lost."""

  def __init__(self, folder: epath.Path, *, keep_last: int, keep_best: int, best_metric: str | None,
               best_mode: Literal["max", "min"], verify: bool = True):
    """Looks at nothing yet; a folder that does not exist has no checkpoints.

    Args:
      folder: where the steps are; made by the first save.
      keep_last: so many of the newest steps are kept, at least 1.
      keep_best: so many of the steps with the best metric are kept besides.
      best_metric: the metric that decides; None keeps by age alone. A step saved without metrics is never a best one.
      best_mode: whether a large or a small metric is good.
      verify: read and digest every file before a step is trusted; otherwise only its list of files is checked.
    """
    assert keep_last >= 1 and keep_best >= 0
    self._folder = epath.Path(folder)
    self._keep_last = keep_last
    self._keep_best = keep_best
    self._best_metric = best_metric
    self._best_sign = {"max": 1, "min": -1}[best_mode]
    self._verify = verify
    self._thread: threading.Thread | None = None
    self._failure: tuple[int, Exception] | None = None
    self._ranks: dict[int, tuple[float, bool]] = {}
    self._trusted: set[int] = set()

  def prepare(self) -> None:
    """Imports Orbax in the background, half a second that the first save would stand still for."""
    threading.Thread(target=_orbax, name="import-orbax", daemon=True).start()

  def save(self, step: int, state: Any, facts: dict, metrics: dict[str, float] | None, *, passing: bool = False) -> None:
    """Copies the state off the device, then writes in the background. Waits for the save before it first.

    Args:
      step: the number of the checkpoint, new in this folder.
      state: a pytree of jax arrays; it may be donated as soon as this returns.
      facts: whatever else resuming needs, as JSON; comes back equal (keys are strings, tuples come back as lists).
      metrics: name to value, what `best_metric` chooses from; None where nothing was measured.
      passing: the step is nobody's choice (a signal came): it is kept until the next one only, so that an interrupted run
        keeps the same steps as one that is left alone.

    Raises:
      CheckpointError: this save cannot start, the one before it failed, or `best_metric` is not among the metrics.
    """
    self.wait()
    if metrics is not None and self._best_metric is not None and self._best_metric not in metrics:
      raise CheckpointError(f"the best checkpoint is chosen by {self._best_metric!r}, which is not measured; "
                            f"there are {', '.join(sorted(metrics)) or 'no metrics'}")
    leaves = _by_path(state)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves.values()), "a state holds jax arrays only"
    described = {path: _describe(leaf) for path, leaf in leaves.items()}
    text = json.dumps({"leaves": described, "metrics": metrics, "passing": passing, "facts": facts})
    # Orbax takes neither typed keys of every kind nor arrays without elements.
    arrays = {path: jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves.items() if leaf.size}
    if jax.process_index() == 0:
      try:
        self._start(step)
      except OSError as error:
        self._failure = step, error
    self.wait()  # so that every process hears of a folder that cannot be written
    try:
      response = _orbax().save_async(self._folder / str(step), arrays)
    except (OSError, ValueError) as error:
      raise self._could_not_save(step, error) from error
    self._thread = threading.Thread(target=self._finish, args=(step, response, text), name=f"save-{step}")
    self._thread.start()

  def wait(self) -> None:
    """Returns when everything is on disk. Raises CheckpointError if the save under way has failed."""
    if (thread := self._thread) is not None:
      thread.join()
      self._thread = None
    failure, self._failure = self._failure, None
    others = jax.process_count() > 1 and multihost_utils.process_allgather(np.array(failure is not None)).any()
    if failure is not None:
      raise self._could_not_save(*failure) from failure[1]
    if others:
      raise CheckpointError(f"{self._folder}: another process could not save; its log says why")

  def close(self) -> None:
    """Waits for what is under way. Raises CheckpointError as `wait` does."""
    self.wait()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind, error, traceback) -> None:
    if kind is None:
      return self.close()
    if self._thread is not None:  # this process alone: who knows whether the others come to wait as well
      self._thread.join()
    if self._failure is not None:
      logging.error("%s", self._could_not_save(*self._failure))

  def steps(self) -> list[int]:
    """The finished steps, oldest first, whether their digests match or not."""
    if not self._folder.exists():
      return []
    names = {path.name for path in self._folder.iterdir()}
    return sorted(int(name) for name in names if name.isdecimal() and name + _UNFINISHED not in names)

  def latest(self) -> int | None:
    """The newest step that is whole, or None. Damaged ones are reported and set aside."""
    return from_first(self._newest_whole)

  def restore(self, step: int | None, like: Any) -> tuple[Any, dict]:
    """Reads a step.

    Args:
      step: which one; None takes the newest that is whole.
      like: a pytree of jax.ShapeDtypeStruct with shardings, on any devices; it gives the structure of the result.

    Returns:
      The state, bit for bit as it was saved, placed as `like` says; and the facts.

    Raises:
      CheckpointError: there is no such step, it is damaged, or `like` has other paths, shapes or dtypes.
    """
    self.wait()
    asked = step
    step = from_first(lambda: self._newest_whole() if asked is None else self._whole(asked))
    if step is None:
      raise self._nothing_to_restore(asked)
    folder = self._folder / str(step)
    record = json.loads((folder / _FACTS).read_text())
    wanted = _by_path(like)
    if problems := _mismatches(record["leaves"], wanted):
      raise CheckpointError(f"{folder} does not fit this state:\n  " + "\n  ".join(problems))
    raw = {path: _key_data(leaf)[0] if _is_key(leaf) else leaf for path, leaf in wanted.items() if leaf.size}
    targets = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=wanted[path].sharding)
               for path, leaf in raw.items()}
    arrays = _orbax().load(folder, targets)
    leaves = []
    for path, leaf in wanted.items():
      array = arrays[path] if leaf.size else jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)
      leaves.append(jax.random.wrap_key_data(array, impl=_key_data(leaf)[1]) if _is_key(leaf) else array)
    return jax.tree.unflatten(jax.tree.structure(like), leaves), record["facts"]

  # --- writing, on process 0 -----------------------------------------------------------------------------------------

  def _start(self, step: int) -> None:
    """Removes what a killed save or deletion has left, and marks the step as unfinished."""
    self._folder.mkdir(parents=True, exist_ok=True)
    for mark in self._folder.glob("*" + _UNFINISHED):
      self._remove(int(mark.name.removesuffix(_UNFINISHED)))
    if (self._folder / str(step)).exists():
      raise FileExistsError("it is there already; a checkpoint is never overwritten")
    (self._folder / f"{step}{_UNFINISHED}").write_text("")

  def _finish(self, step: int, response, text: str) -> None:
    """Runs in the background: the step counts once its manifest stands and its mark is gone."""
    try:
      response.result()  # on every process: all have written their part when it returns
      if jax.process_index() == 0:
        folder = self._folder / str(step)
        (folder / _FACTS).write_text(text)
        digests.write_manifest(folder)
        (self._folder / f"{step}{_UNFINISHED}").unlink()
        self._forget_old()
    except Exception as error:  # whatever it is, it must reach the main thread
      self._failure = step, error
      if jax.process_index() == 0:
        with contextlib.suppress(OSError):  # what is left now, the next save removes
          self._remove(step)

  def _forget_old(self) -> None:
    steps = self.steps()
    chosen = [step for step in steps if not self._rank(step)[1]]
    keep = {steps[-1], *chosen[-self._keep_last:], *self._ranked()[:self._keep_best]}
    for step in steps:
      if step not in keep:
        try:
          self._remove(step)
        except OSError as error:  # no reason to fail the save that has just succeeded
          logging.warning("%s: the old checkpoint %d could not be deleted (%s)", self._folder, step, error)

  def _ranked(self) -> list[int]:
    """The steps that have the metric, best first; of equal ones the first, as early stopping counts."""
    scores = {step: self._rank(step)[0] for step in self.steps()}
    return sorted((step for step in scores if not math.isnan(scores[step])), key=lambda step: (-scores[step], step))

  def _rank(self, step: int) -> tuple[float, bool]:
    """A step's metric, the larger the better (nan where it has none), and whether it is a passing one."""
    if step not in self._ranks:
      try:
        record = json.loads((self._folder / str(step) / _FACTS).read_text())
        score = math.nan if self._best_metric is None else (record["metrics"] or {}).get(self._best_metric, math.nan)
        self._ranks[step] = self._best_sign * score, record["passing"]
      except (OSError, ValueError, KeyError):
        self._ranks[step] = math.nan, False  # damaged: its digests will say so when somebody wants it
    return self._ranks[step]

  def _remove(self, step: int) -> None:
    mark = self._folder / f"{step}{_UNFINISHED}"
    mark.write_text("")
    for path in [self._folder / str(step), *self._folder.glob(f"{step}.orbax-checkpoint-tmp*")]:
      path.rmtree(missing_ok=True)
    mark.unlink()

  # --- trusting, on process 0 ----------------------------------------------------------------------------------------

  def _newest_whole(self) -> int | None:
    return next((step for step in reversed(self.steps()) if self._whole(step) is not None), None)

  def _whole(self, step: int) -> int | None:
    """The step if it can be trusted, else None. Sets a damaged one aside, so that its number is free again."""
    folder = self._folder / str(step)
    if step in self._trusted:
      return step
    damage = digests.find_damage(folder, contents=self._verify)
    if damage is None:
      self._trusted.add(step)
      return step
    if step not in self.steps():  # being deleted by the run that this process only reads from, or never there
      return None
    logging.error("%s is damaged: %s", folder, damage)
    aside = next(path for n in range(1000)
                 if not (path := self._folder / f"{step}{_DAMAGED}{f'-{n}' if n else ''}").exists())
    try:
      folder.rename(aside)
    except OSError as error:
      logging.warning("%s could not be renamed to %s (%s)", folder, aside.name, error)
    return None

  # --- saying what is wrong ------------------------------------------------------------------------------------------

  def _could_not_save(self, step: int, error: Exception) -> CheckpointError:
    steps = self.steps()
    good = f"the last good step is {steps[-1]}" if steps else "there is no good step yet"
    return CheckpointError(f"step {step} could not be saved to {self._folder} ({_in_short(error)}); {good}")

  def _nothing_to_restore(self, step: int | None) -> CheckpointError:
    steps = self.steps()
    damaged = sorted(path.name for path in self._folder.glob(f"*{_DAMAGED}*")) if self._folder.exists() else []
    what = "no whole checkpoint" if step is None else f"no whole checkpoint of step {step}"
    return CheckpointError(f"{self._folder} has {what}; there are {', '.join(map(str, [*steps, *damaged])) or 'none'}")


def _orbax():
  """Slow to import, and only a save or a restore needs it."""
  from orbax.checkpoint import v1
  return v1


def _by_path(tree: Any) -> dict[str, Any]:
  """Leaves by path, in the order of `jax.tree.leaves`."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
  assert len(named) == len(leaves), "two leaves of the state have the same path"
  return named


def _is_key(leaf) -> bool:
  return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_data(key) -> tuple[jax.ShapeDtypeStruct, Any]:
  """The raw form of a typed PRNG key and its implementation, from its shape and dtype alone."""
  implementations = []
  def data(key):
    implementations.append(jax.random.key_impl(key))
    return jax.random.key_data(key)
  return jax.eval_shape(data, jax.ShapeDtypeStruct(key.shape, key.dtype)), implementations[0]


def _describe(leaf) -> str:
  return f"{leaf.dtype}{list(leaf.shape)}"


def _mismatches(saved: dict[str, str], wanted: dict[str, Any]) -> list[str]:
  here = {path: _describe(leaf) for path, leaf in wanted.items()}
  return [f"{path}: {saved.get(path, 'absent')} in the checkpoint, {here.get(path, 'absent')} in the state"
          for path in sorted(saved.keys() | here.keys()) if saved.get(path) != here.get(path)]


def _in_short(error: Exception) -> str:
  """One line that says why, of errors that span pages."""
  text = " ".join(str(error).split()) or type(error).__name__
  causes = map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOTDIR))
  return next((cause for cause in causes if cause in text), text[:300])
