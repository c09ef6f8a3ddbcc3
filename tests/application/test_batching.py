"""Batches are as large as what waits allows, of one kind, oldest first; who leaves is forgotten; a failure ends nothing."""

import asyncio
import threading

import pytest

from research.application.batching import Batcher, Lane


class Device:
  """Notes its batches; waits where it is told to."""

  def __init__(self):
    self.batches, self.free = [], threading.Event()
    self.begun = threading.Event()

  def __call__(self, values):
    self.batches.append(values)
    self.begun.set()
    self.free.wait(10)
    if "bad" in values:
      raise ZeroDivisionError("bad")
    return [f"{value}!" for value in values]


async def until(condition):
  while not condition():
    await asyncio.sleep(0.001)


def run(scenario):
  """A scenario with a device that is busy with one input, and its batcher."""
  device = Device()
  batcher = Batcher()

  async def whole():
    first = asyncio.create_task(batcher.run(Lane(device, "a", (1, 2, 4)), "first"))
    await until(device.begun.is_set)
    try:
      return await scenario(device, batcher)
    finally:
      device.free.set()
      await first

  try:
    return device, asyncio.run(asyncio.wait_for(whole(), 10))
  finally:
    device.free.set()
    batcher.close()


def test_what_waits_is_run_together_in_compiled_sizes_without_padding():
  async def scenario(device, batcher):
    tasks = [asyncio.create_task(batcher.run(Lane(device, "a", (1, 2, 4)), i)) for i in range(7)]
    await until(lambda: batcher.num_waiting == 7)
    device.free.set()
    return await asyncio.gather(*tasks)

  device, found = run(scenario)
  assert device.batches == [["first"], [0, 1, 2, 3], [4, 5], [6]]
  assert [ran.answer for ran in found] == [f"{i}!" for i in range(7)]
  assert [ran.batch for ran in found] == [4, 4, 4, 4, 2, 2, 1]


def test_unlike_inputs_are_not_mixed_and_the_oldest_goes_first():
  async def scenario(device, batcher):
    tasks = []
    for shape, value in (("b", 1), ("a", 2), ("b", 3), ("a", 4)):
      tasks.append(asyncio.create_task(batcher.run(Lane(device, shape, (1, 2)), value)))
      await until(lambda: batcher.num_waiting == len(tasks))
    device.free.set()
    await asyncio.gather(*tasks)

  assert run(scenario)[0].batches == [["first"], [1, 3], [2, 4]]


def test_who_leaves_is_not_computed_and_takes_no_place():
  async def scenario(device, batcher):
    lane = Lane(device, "a", (1, 2, 4))
    leaving, staying = (asyncio.create_task(batcher.run(lane, value)) for value in ("leaving", "staying"))
    await until(lambda: batcher.num_waiting == 2)
    leaving.cancel()
    await until(lambda: batcher.num_waiting == 1)
    device.free.set()
    return (await staying).answer

  device, answer = run(scenario)
  assert answer == "staying!" and device.batches == [["first"], ["staying"]]


def test_a_failure_reaches_those_of_its_batch_and_ends_nothing():
  async def scenario(device, batcher):
    lane = Lane(device, "a", (2,))
    tasks = [asyncio.create_task(batcher.run(lane, value)) for value in ("bad", "neighbor", "next", "last")]
    await until(lambda: batcher.num_waiting == 4)
    device.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)

  _, found = run(scenario)
  assert [type(each) for each in found[:2]] == [ZeroDivisionError, ZeroDivisionError]
  assert [each.answer for each in found[2:]] == ["next!", "last!"]


def test_a_batch_smaller_than_the_smallest_size_is_run():
  async def scenario(device, batcher):
    device.free.set()
    return (await batcher.run(Lane(device, "a", (4, 8)), 1)).batch

  assert run(scenario)[1] == 1


@pytest.mark.parametrize("waiting,size", [(1, 2), (2, 2), (3, 2), (5, 4), (100, 4)])
def test_the_size_is_the_largest_that_is_filled(waiting, size):
  assert Lane(len, None, (2, 4)).size(waiting) == size
