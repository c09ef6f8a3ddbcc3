"""How fast what is here is: a device in products, in copies and, where that is short, in the step itself; and the input.

Efficiency depends on shapes, above all on CPUs, where the gradient of one convolution runs at a fifth of the rate of another
and a softmax at a tenth of the memory's bandwidth. Timing a step's products one by one came to 45 to 90 % of its time; some
steps on made-up data come to all of it.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from research.data.dataset import Data, Opened
from research.training.program import Program

LONGEST = 20.0  # seconds a step may be expected to take if it is to be tried
_READING = 1.0  # seconds that batches are read for
_SIZE = 1024


def rates() -> dict[str, float]:
  """Measures jax's default device in half a second.

  Returns:
    `flops`: operations a second of a product of 1024 x 1024 matrices in float32; `bandwidth`: bytes a second of arithmetic
    on a long array.
  """
  x, long = jnp.ones((_SIZE, _SIZE)), jnp.ones(1 << 23)
  return {"flops": 2 * _SIZE**3 / _seconds(jax.jit(jnp.matmul), x, x),
          "bandwidth": 2 * long.nbytes / _seconds(jax.jit(lambda x: x * 1.5 + 0.5), long)}


def input_seconds(data: Data, opened: Opened) -> float:
  """Seconds of one core that it takes to read a training batch and to prepare it, in the mean over the shapes of batches."""
  with contextlib.closing(dataclasses.replace(data, num_threads=0, num_workers=0).training(opened, seed=0)) as batches:
    next(batches)
    num, begin = 0, time.process_time()
    while not num or (time.process_time() - begin < _READING and num < 10_000):
      next(batches)
      num += 1
    return (time.process_time() - begin) / num


def trials(program: Program, compiled: Sequence[Callable]) -> list[float]:
  """Seconds of a call of each compiled step, one for each shape of batches, on made-up ones.

  The least of five calls, or of as many as fit in a second; the first is not counted.
  """
  state, found = jax.block_until_ready(program.create(jax.random.key(0))), []
  for step, specs in zip(compiled, program.batches, strict=True):
    batch = jax.tree.map(lambda s: jax.device_put(_made_up(s), s.sharding), specs)
    calls = []
    while len(calls) < 6 or (sum(calls) < 1 and len(calls) < 1000):
      begin = time.perf_counter()
      state = jax.block_until_ready(step(state, batch))
      calls.append(time.perf_counter() - begin)
    found.append(min(calls[1:]))
  return found


def _made_up(spec: Any) -> jax.Array:
  """Zeros: valid numbers of classes and tokens; a mask and weights that let each example count."""
  return (jnp.ones if jnp.issubdtype(spec.dtype, jnp.inexact) else jnp.zeros)(spec.shape, spec.dtype)


def _seconds(function: Callable, *args: Any) -> float:
  """The least of some calls within 0.1 seconds: what else the host does is not counted."""
  jax.block_until_ready(function(*args))
  calls = []
  while not calls or sum(calls) < 0.1:
    begin = time.perf_counter()
    jax.block_until_ready(function(*args))
    calls.append(time.perf_counter() - begin)
  return min(calls)
