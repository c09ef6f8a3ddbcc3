"""Training of networks whose steps take microseconds: one scan over the steps between two measurements."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from research.config import ConfigError
from research.nn.transformer import BlockConfig
from research.optimizers.base import Optimizer
from research.optimizers.schedule import Length
from research.training.progress import Progress
from research.training.state import merge, split

Tree = Any
Curves = dict[str, np.ndarray]


def check_interval(steps: int, every: int) -> None:
  """Raises ConfigError unless a run of `steps` is measured a whole number of times."""
  if steps < 1 or every < 1 or steps % every:
    raise ConfigError(f"steps={steps}: must be a multiple of evaluate_every={every}, both at least 1")


def gpt2(block: BlockConfig, num_layers: int) -> BlockConfig:
  """The layer with GPT-2's initial weights: N(0, 0.02²), as the embeddings are, and less at the end of a branch."""
  return dataclasses.replace(block, init="normal", init_scale=0.02, out_scale=1 / math.sqrt(2 * num_layers))


def build(config, inputs: jax.ShapeDtypeStruct, num_outputs: int, seed: int) -> tuple[Callable[[Tree], Any], Tree]:
  """Returns params -> network, for a configuration of research/models, and initial parameters."""
  definition, params, buffers = split(config.build(inputs, num_outputs, nnx.Rngs(seed)))
  return (lambda params: merge(definition, params, buffers)), params


def train(loss: Callable[[Tree, jax.Array], jax.Array], params: Tree, optimizer: Optimizer, *, steps: int, every: int,
          measure: Callable[[Tree], dict[str, jax.Array]],
          until: Callable[[dict[str, np.ndarray]], bool] = lambda _: False) -> tuple[Tree, Curves]:
  """Trains, measuring before the first step and after each interval.

  Args:
    loss: (params, step) -> scalar; it draws the batch of that step itself.
    params: where to start. Several networks, stacked, train independently if the loss is the sum of theirs.
    optimizer: durations of its schedule are steps, or shares of the run.
    steps: updates at most.
    every: updates between two measurements; divides `steps`.
    measure: params -> arrays by name.
    until: told what was just measured, says that it is enough.

  Returns:
    The last parameters; and what was measured, each with a first dimension for the measurements, beside "step", the
    updates done before each.
  """
  check_interval(steps, every)
  transformation = optimizer.build(params, Length(total_steps=steps, batch_size=1, steps_per_epoch=1))

  def step(carry, t):
    params, state = carry
    updates, state = transformation.update(jax.grad(loss)(params, t), state, params)
    return (optax.apply_updates(params, updates), state), None

  @jax.jit
  def stretch(carry, start):
    carry, _ = jax.lax.scan(step, carry, start + jnp.arange(every))
    return carry, measure(carry[0])

  progress = Progress(steps)
  carry, found = (params, transformation.init(params)), [jax.device_get(jax.jit(measure)(params))]
  for start in range(0, steps, every):
    if until(found[-1]):
      break
    carry, measured = stretch(carry, start)
    found.append(jax.device_get(measured))
    if start + every < steps:
      progress.line(start + every, "", every=10)
  curves = {name: np.stack([measured[name] for measured in found]) for name in found[0]}
  return carry[0], {"step": np.arange(len(found)) * every, **curves}


def first_step(curves: Curves, name: str, level: float) -> float:
  """The first measured step at which a curve is at least `level`; infinite if it never is."""
  there = curves["step"][np.asarray(curves[name]) >= level]
  return float(there[0]) if len(there) else float("inf")
