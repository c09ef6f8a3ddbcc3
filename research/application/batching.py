"""Dynamic batching: one thread owns the device and runs whatever waits, as many of a kind at a time as are compiled together.

Nothing waits for company: while the device is busy, inputs gather, and the next batch takes them. So a lone request is as fast
as it can be, and under load the batches are full.
"""

import asyncio
import collections
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Lane:
  """Inputs that can be run together.

  Attributes:
    call: gives the answers of a list of inputs, in order.
    shape: what makes inputs alike.
    sizes: the batch sizes that are compiled, rising.
  """

  call: Callable[[list], list]
  shape: Any
  sizes: tuple[int, ...]

  def size(self, num_waiting: int) -> int:
    """The largest batch that they fill, so that nothing is computed for padding; the smallest size if they fill none."""
    return max((size for size in self.sizes if size <= num_waiting), default=self.sizes[0])


@dataclasses.dataclass(frozen=True)
class Ran:
  """An answer and how it came about.

  Attributes:
    answer: what the lane's call gave.
    wait: seconds in the queue.
    run: seconds of the batch on the device.
    batch: inputs in it.
  """

  answer: Any
  wait: float
  run: float
  batch: int


@dataclasses.dataclass(eq=False)
class _Item:
  value: Any
  future: asyncio.Future
  arrived: float


class Batcher:
  """The device's thread. `run` is for the event loop that made it; it is closed once."""

  def __init__(self, observe: Callable[[Lane, Ran], None] = lambda lane, ran: None):
    """Starts the thread.

    Args:
      observe: told of each batch, on the device's thread; the answer is None.
    """
    self._observe = observe
    self._lanes: dict[Lane, collections.deque[_Item]] = {}
    self._changed = threading.Condition()
    self._closed = False
    self._thread = threading.Thread(target=self._work, name="device", daemon=True)
    self._thread.start()

  @property
  def num_waiting(self) -> int:
    """Inputs that no batch has taken yet."""
    with self._changed:
      return sum(map(len, self._lanes.values()))

  async def run(self, lane: Lane, value: Any) -> Ran:
    """The answer to one input. Cancelled, the input leaves the queue, if no batch has taken it. Raises what the call raises."""
    item = _Item(value, asyncio.get_running_loop().create_future(), time.perf_counter())
    with self._changed:
      assert not self._closed, "closed"
      self._lanes.setdefault(lane, collections.deque()).append(item)
      self._changed.notify()
    try:
      return await item.future
    except asyncio.CancelledError:
      with self._changed:
        if item in self._lanes.get(lane, ()):
          self._lanes[lane].remove(item)
          if not self._lanes[lane]:
            del self._lanes[lane]
      raise

  def close(self) -> None:
    """Ends the thread when nothing waits any more."""
    with self._changed:
      self._closed = True
      self._changed.notify()
    self._thread.join()

  def _take(self) -> tuple[Lane, list[_Item]] | None:
    """The next batch: of the lane whose first input waits longest. None at the end."""
    with self._changed:
      while not self._lanes:
        if self._closed:
          return None
        self._changed.wait()
      lane = min(self._lanes, key=lambda lane: self._lanes[lane][0].arrived)
      waiting = self._lanes[lane]
      items = [waiting.popleft() for _ in range(min(lane.size(len(waiting)), len(waiting)))]
      if not waiting:
        del self._lanes[lane]
      return lane, items

  def _work(self) -> None:
    while (taken := self._take()) is not None:
      lane, items = taken
      begin = time.perf_counter()
      try:
        results: Any = lane.call([item.value for item in items])
        assert len(results) == len(items), f"{len(results)} answers to {len(items)} inputs"
      except Exception as error:  # told to whoever asked; the thread goes on
        results = error
      seconds = time.perf_counter() - begin
      self._observe(lane, Ran(None, begin - items[0].arrived, seconds, len(items)))
      items[0].future.get_loop().call_soon_threadsafe(_deliver, items, results, begin, seconds)


def _deliver(items: list[_Item], results: Any, begin: float, seconds: float) -> None:
  for place, item in enumerate(items):
    if item.future.done():  # cancelled meanwhile
      continue
    if isinstance(results, Exception):
      item.future.set_exception(results)
    else:
      item.future.set_result(Ran(results[place], begin - item.arrived, seconds, len(items)))
