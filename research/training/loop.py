"""The training loop: feeds batches to the step and, between steps, lets things happen.

It knows no task, no metric and no evaluator. What happens between steps comes in as callbacks; when, as step counts.
The device is never waited for: a log line is read back only after the next step has been handed over.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from research.training.interruption import Interrupted, Interruption
from research.training.state import TrainState


class Batches(Protocol):
  """Batches on devices, in order. `waited` is the time the loop stood still for them."""

  waited: float

  def __next__(self) -> Any: ...

  def state(self) -> dict: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """When things happen, in steps; each a multiple of `steps_per_call`, 0 for never.

  `read_late` lets a log line be read back a step late, so that the device is not waited for; not where a log line may
  end the run, which must then end at the same step however often it was interrupted.
  """

  total: int
  steps_per_call: int
  log: int
  evaluate: int
  save: int
  read_late: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callbacks:
  """What happens between steps.

  Attributes:
    log: (step, sums of the window) -> why to stop, or "". Gets every log step once, in order, possibly a step late.
    evaluate: (step, state) -> why to stop, or "".
    save: (step, state, facts, passing) starts a checkpoint; it may still be written when this returns. `passing` says that
      only a signal made it.
    live: (step) after every call of the step.
  """

  log: Callable[[int, dict[str, np.ndarray]], str]
  evaluate: Callable[[int, TrainState], str]
  save: Callable[[int, TrainState, dict, bool], None]
  live: Callable[[int], None]


def run(state: TrainState, step_function: Callable, batches: Batches, schedule: Schedule, callbacks: Callbacks,
        interruption: Interruption, seconds: dict[str, float], fresh_window: Callable[[], dict], *,
        evaluated: int = 0, stop: str = "") -> tuple[TrainState, int, str]:
  """Trains until the last step, or until a callback says to stop.

  Args:
    state: where to begin; it is donated, and gone afterwards.
    step_function: (state, batch) -> state, `steps_per_call` steps at once.
    batches: positioned at the state's step.
    schedule: when to log, evaluate, save and end.
    callbacks: what then happens.
    interruption: asked between calls whether somebody wants the process to end.
    seconds: time spent is added here under "input", "evaluation" and "checkpoint", and the rest of it under "step".
    fresh_window: makes the zeros that the log window starts from.
    evaluated, stop: of a resumed run, from the facts it saved: the last step whose evaluation was finished, and why it
      had stopped.

  Returns:
    The last state, its step, and why the run stopped before its last step ("" if it did not).

  Raises:
    Interrupted: after the state has been saved.
  """
  start = step = int(state.step)
  saved = start if start else -1
  pending: tuple[int, dict] | None = None
  began, before = time.monotonic(), sum(seconds.values())

  def flush() -> str:
    nonlocal pending
    if pending is None:
      return ""
    (at, window), pending = pending, None
    return callbacks.log(at, jax.device_get(window))

  def count_seconds() -> None:
    seconds["step"] += time.monotonic() - began - (sum(seconds.values()) - before)

  def save(*, passing: bool) -> None:
    nonlocal saved
    jax.block_until_ready(state.params)  # steps that are on their way are no saving
    count_seconds()
    begin = time.monotonic()
    callbacks.save(step, state, {"evaluated": evaluated, "stop": stop, "data": batches.state()}, passing)
    saved, interruption.unsaved = step, False
    seconds["checkpoint"] += time.monotonic() - begin

  def due(period: int) -> bool:
    return bool(period) and (step % period == 0 or step == schedule.total)

  while True:
    if step > start and due(schedule.log):
      stop = stop or flush()  # an interval shorter than the lag
      pending = step, state.window
      state = dataclasses.replace(state, window=fresh_window())
      if not schedule.read_late:
        stop = stop or flush()
    if evaluated != step and step and (due(schedule.evaluate) or (schedule.evaluate and stop)):
      stop = stop or flush()
      jax.block_until_ready(state.params)
      begin = time.monotonic()
      try:
        stop = callbacks.evaluate(step, state) or stop
      except Interrupted:
        save(passing=not due(schedule.save))
        raise
      evaluated = step
      seconds["evaluation"] += time.monotonic() - begin
    ending = step >= schedule.total or bool(stop)
    if saved != step and step and (due(schedule.save) or ending):
      stop = stop or flush()
      save(passing=False)
    if ending:
      count_seconds()
      return state, step, stop
    if interruption.agree(step):
      flush()
      if saved != step and step:
        save(passing=True)
      interruption.raise_if_requested()

    waited = batches.waited
    state = step_function(state, next(batches))
    step += schedule.steps_per_call
    interruption.unsaved = True
    seconds["input"] += batches.waited - waited
    if pending is not None:
      stop = stop or flush()
    callbacks.live(step)
