"""SIGTERM and SIGINT: the run saves and ends instead of dying.

A signal sets a flag that the loop looks at between steps. Python runs its handlers on the main thread only, which may
be inside C++ for minutes (compiling, evaluating on a device); so the signal also wakes a thread, by a file descriptor
that the C part of Python's handler writes to. If the main thread does not look in time and has nothing to lose, that
thread ends the process.
"""

import contextlib
import ctypes
import itertools
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_SECONDS = 0.5
_CLOSE = 0  # no signal has this number

# Counts `agree` over the life of the process: jax compares the counts of all processes, wherever each of them is.
_calls = itertools.count(1)
_active: "Interruption | None" = None


class Interrupted(BaseException):  # like KeyboardInterrupt: `except Exception` must not swallow it
  """The run was asked to end, and has saved what it had.

  Attributes:
    exit_code: what the process should end with, 143 for SIGTERM and 130 for SIGINT.
  """

  def __init__(self, message: str = "interrupted", exit_code: int = 128 + signal.SIGTERM):
    super().__init__(message)
    self.exit_code = exit_code


class Interruption:
  """While this context is open, signals ask the run to end. On the main thread, after `jax.distributed.initialize`.

  A second SIGINT ends the process at once. With several processes a signal to one of them ends all, at the same step.

  Attributes:
    unsaved: whether ending now would lose work. The loop clears it with every save and sets it with every step.
    finish: waits for a save that is being written in the background; called on another thread. To be set by whoever
      makes such saves.
  """

  def __init__(self, *, grace: float = 5.0, message: str = "the same command goes on from the last checkpoint"):
    """Prepares; nothing changes before the context is entered.

    Args:
      grace: seconds that the main thread has to look at the flag before the process may be ended without it.
      message: how to go on, for the line that is printed at the end.
    """
    self.unsaved = False
    self.finish: Callable[[], None] = lambda: None
    self._grace = grace
    self._message = message
    self._signal: int | None = None
    self._agreed = False
    self._answered = False

  @property
  def requested(self) -> bool:
    """Whether to end. With several processes, whether all have agreed to: one alone must not leave the others."""
    return self._signal is not None if self._alone else self._agreed

  @property
  def exit_code(self) -> int:
    """143 for SIGTERM and where another process got the signal, 130 for SIGINT."""
    return 128 + (self._signal or signal.SIGTERM)

  def agree(self, step: int) -> bool:
    """Whether to end after this step; True at the same step on all processes. Every process calls it at every step."""
    if not self._alone:
      self._agreed = self._agreed or multihost_utils.reached_preemption_sync_point(next(_calls))
    if self.requested and not self._answered:
      self._answered = True
      print(f"{signal.Signals(self.exit_code - 128).name}: ending after step {step}", file=sys.stderr, flush=True)
    return self.requested

  def raise_if_requested(self) -> None:
    """For long work between steps. Raises Interrupted."""
    if self.requested:
      self._answered = True
      raise Interrupted(self._last_line(), self.exit_code)

  def __enter__(self) -> "Interruption":
    global _active
    assert threading.current_thread() is threading.main_thread(), "Python handles signals on the main thread only"
    assert _active is None, "one at a time"
    self._alone = jax.process_count() == 1
    self._reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)
    self._old_descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
    self._notify_jax = _foreign_handler(signal.SIGTERM)
    self._old_actions = [(number, signal.getsignal(number), _read_action(number)) for number in _SIGNALS]
    for number in _SIGNALS:
      signal.signal(number, lambda number, frame: self._note(number))
    _active = self
    self._watcher = threading.Thread(target=self._watch, name="interruption", daemon=True)
    self._watcher.start()
    return self

  def __exit__(self, kind, error, traceback) -> None:
    global _active
    _active = None
    for number, handler, action in self._old_actions:
      if handler is not None:
        signal.signal(number, handler)
      _LIBC.sigaction(number, action, None)  # Python knows nothing of a handler that C++ has installed
    signal.set_wakeup_fd(self._old_descriptor)
    self._answered = True
    self._writer.send(bytes([_CLOSE]))  # closing it would tell nothing: a forked child may hold it open
    self._watcher.join()
    self._writer.close()
    self._reader.close()

  def _note(self, number: int) -> None:
    self._signal = self._signal or number
    if self._notify_jax is not None:
      self._notify_jax(signal.SIGTERM)

  def _watch(self) -> None:
    interrupts, deadline = 0, math.inf
    while True:
      ready, _, _ = select.select([self._reader], [], [], _POLL_SECONDS)
      if ready:
        numbers = self._reader.recv(64)
        if _CLOSE in numbers:
          return
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
          os._exit(128 + signal.SIGINT)
        for number in set(numbers) & set(_SIGNALS):
          self._note(number)
      if self._signal is not None:  # whoever noted it: an event loop on the main thread borrows the descriptor
        deadline = min(deadline, time.monotonic() + self._grace)
      # One process of several that leaves kills the others, which may have work to lose.
      if time.monotonic() > deadline and self._alone and not self._answered and not self.unsaved:
        self._end()

  def _end(self) -> None:
    line = self._last_line()
    try:
      self.finish()
    except Exception as error:
      line = str(error)
    with contextlib.suppress(Exception):
      sys.stdout.flush()
      print(line, file=sys.stderr, flush=True)
    os._exit(self.exit_code)

  def _last_line(self) -> str:
    return f"ended by {signal.Signals(self.exit_code - 128).name}; {self._message}"


# --- handlers that were not installed from Python --------------------------------------------------------------------

_LIBC = ctypes.CDLL(None)


def _read_action(number: int):
  """The C library's `struct sigaction` of a signal, as bytes that can be given back to it."""
  action = ctypes.create_string_buffer(256)  # larger than it is anywhere
  _LIBC.sigaction(number, None, action)
  return action


def _foreign_handler(number: int) -> Callable[[int], None] | None:
  """The handler that C++ has installed for a signal, or None.

  `jax.distributed.initialize` installs one for SIGTERM that tells the other processes. Python's handler replaces it and
  must call it.
  """
  if callable(signal.getsignal(number)):
    return None
  address = ctypes.c_void_p.from_buffer(_read_action(number)).value or 0  # the first field on Linux and macOS
  return ctypes.CFUNCTYPE(None, ctypes.c_int)(address) if address > 1 else None  # 0 and 1: default and ignore


def _leave_in_child() -> None:
  """A forked child (a data worker) would write its own signals to the parent's descriptor."""
  if _active is not None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


os.register_at_fork(after_in_child=_leave_in_child)
