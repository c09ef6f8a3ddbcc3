"""What a person watching a run sees: a line a log step, and on a terminal a live one between them."""

import sys
import time

import jax


def say(text: str) -> None:
  """Prints a line to stderr, from process 0 only."""
  if jax.process_index() == 0:
    clear = "\r\x1b[2K" if sys.stderr.isatty() else ""
    print(clear + text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
  """`0.8 s`, `8 s`, `3 min 20 s`, `2 h 05 min`."""
  if seconds < 10:
    return f"{seconds:.2g} s"
  seconds = round(seconds)
  if seconds < 60:
    return f"{seconds} s"
  if seconds < 3600:
    return f"{seconds // 60} min {seconds % 60:02d} s"
  return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
  """Counts done units of work and tells rate and time left.

  Args:
    total: units in all.
    done: units done before this process started, which do not count for the rate.
    prefix: put before each line, such as the seed.
  """

  def __init__(self, total: int, done: int = 0, prefix: str = ""):
    self._total, self._first, self._prefix = total, done, prefix
    self._start = self._last_time = self._last_line = time.monotonic()
    self._last_done = done
    self._live = sys.stderr.isatty() and jax.process_index() == 0
    self._next_live = 0.0

  def rate(self, done: int) -> float:
    """Units a second since the last call."""
    now = time.monotonic()
    rate = (done - self._last_done) / max(now - self._last_time, 1e-9)
    self._last_time, self._last_done = now, done
    return rate

  def line(self, done: int, words: str, unit: str = "step", *, every: float = 0.0) -> None:
    """Prints a progress line; all but the last only where so many seconds have passed since the one before, or the start."""
    now = time.monotonic()
    if done < self._total and now - self._last_line < every:
      return
    self._last_line, left = now, self._left(done, now)
    begin = f"{self._prefix}{unit} {done:,}/{self._total:,} {done / self._total:4.0%}"
    say("  ".join(filter(None, (begin, words, left))))

  def live(self, done: int) -> None:
    """Redraws the terminal's last line, at most ten times a second. Does nothing where nobody looks."""
    if self._live and (now := time.monotonic()) >= self._next_live:
      self._next_live = now + 0.1
      full = int(30 * done / self._total)
      print(f"\r\x1b[2K{self._prefix}[{'█' * full}{'·' * (30 - full)}] {done:,}/{self._total:,}  {self._left(done, now)}",
            end="", file=sys.stderr, flush=True)

  def _left(self, done: int, now: float) -> str:
    spent, units = now - self._start, done - self._first
    return f"{duration(spent / units * (self._total - done))} left" if units and done < self._total else ""
