"""The CTC loss and its gradient on one core, against optax.ctc_loss.

    taskset -c 1 python tests/benchmarks/ctc.py

Both in one process and in turns, on batches of several sizes; prints the median ratio of processor times, optax's over ours,
and fails below the floor.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from research import process

process.tune_allocator()

import jax
import numpy as np
import optax

from research import records
from research.nn.ctc import ctc_loss

FLOOR, ROUNDS = 1.0, 11
SIZES = ((32, 100, 10, 12), (16, 500, 60, 32), (8, 1500, 150, 32), (16, 400, 80, 1000))  # utterances, frames, labels, outputs


def seconds(run, *args) -> float:
  begin = time.process_time()
  jax.block_until_ready(run(*args))
  return time.process_time() - begin


def ratio(num: int, frames: int, labels: int, outputs: int) -> float:
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 2, (num, frames, outputs)).astype(np.float32)
  text = rng.integers(1, outputs, (num, labels)).astype(np.int32)
  lengths, text_lengths = rng.integers(3 * frames // 4, frames + 1, num), rng.integers(labels // 2, labels + 1, num)
  padding = lambda size, lengths: (np.arange(size) >= lengths[:, None]).astype(np.float32)
  ours = jax.jit(jax.value_and_grad(lambda x: ctc_loss(x, lengths, text, text_lengths).sum()))
  theirs = jax.jit(jax.value_and_grad(
      lambda x: optax.ctc_loss(x, padding(frames, lengths), text, padding(labels, text_lengths)).sum()))
  seconds(ours, logits), seconds(theirs, logits)
  times = np.array([(seconds(ours, logits), seconds(theirs, logits)) for _ in range(ROUNDS)])
  ratios = times[:, 1] / times[:, 0]
  own, other = 1000 * np.median(times, axis=0)
  print(f"{num} x {frames} frames, {labels} labels, {outputs} outputs: optax {other:.1f} ms, ours {own:.1f} ms; ratio "
        f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
  return float(np.median(ratios))


def main() -> int:
  print(records.environment()["cpu"])
  return int(min(ratio(*size) for size in SIZES) < FLOOR)


if __name__ == "__main__":
  sys.exit(main())
