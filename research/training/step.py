"""One training step: a pure function of state and batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from research.training.state import TrainState


def make_step(rows: Callable, optimizer: optax.GradientTransformationExtraArgs, trained, *, num_microbatches: int = 1,
              average_decay: float = 0.0) -> Callable[[TrainState, dict], TrainState]:
  """Returns step(state, batch) -> state; what is to be logged is summed up in state.window.

  The gradient is that of the mean loss over the real (unmasked) examples, however many micro-batches it is gathered in.

  Args:
    rows: (params, buffers, batch, key) -> ({metric: rows (B, k)}, buffers).
    optimizer: as built for these parameters.
    trained: a tree of bools; of the other parameters the gradient is 0 and not computed.
    num_microbatches: parts that the batch is taken in.
    average_decay: of the moving average, if the state has one.
  """

  def total_loss(params, buffers, batch, key):
    params = jax.tree.map(lambda p, t: p if t else jax.lax.stop_gradient(p), params, trained)
    found, buffers = rows(params, buffers, batch, key)
    sums = {name: batch["mask"].astype(r.dtype) @ r for name, r in found.items()}
    return sums["loss"][0], (sums, buffers)

  def mean_loss(params, buffers, batch, key):
    total, (sums, buffers) = total_loss(params, buffers, batch, key)
    return total / jnp.maximum(sums["loss"][1], 1), (sums, buffers)

  def mean_gradient(params, buffers, batch, key):
    def accumulate(carry, micro):
      buffers, gradient, sums = carry
      index, batch = micro
      new = jax.grad(total_loss, has_aux=True)(params, buffers, batch, jax.random.fold_in(key, index))
      gradient, sums = jax.tree.map(jnp.add, (gradient, sums), (new[0], new[1][0]))
      return (new[1][1], gradient, sums), None

    if num_microbatches == 1:
      gradient, (sums, buffers) = jax.grad(mean_loss, has_aux=True)(params, buffers, batch, key)
      return gradient, buffers, sums
    micro = jax.tree.map(lambda x: x.reshape(num_microbatches, -1, *x.shape[1:]), batch)
    shapes = jax.eval_shape(jax.grad(total_loss, has_aux=True), params, buffers, jax.tree.map(lambda x: x[0], micro), key)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (shapes[0], shapes[1][0]))
    (buffers, gradient, sums), _ = jax.lax.scan(accumulate, (buffers, *zeros), (jnp.arange(num_microbatches), micro))
    count = jnp.maximum(sums["loss"][1], 1)
    return jax.tree.map(lambda g: g / count.astype(g.dtype), gradient), buffers, sums

  def step(state: TrainState, batch: dict) -> TrainState:
    key = jax.random.fold_in(state.key, state.step)
    gradient, buffers, sums = mean_gradient(state.params, state.buffers, batch, key)
    updates, optimizer_state = optimizer.update(
        gradient, state.optimizer, state.params, value=sums["loss"][0] / sums["loss"][1],
        grad_fn=lambda params: mean_gradient(params, state.buffers, batch, key)[0])
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average is not None:
      average = optax.incremental_update(params, average, 1 - average_decay)
    return TrainState(state.step + 1, state.key, params, buffers, optimizer_state, average,
                      _add(state.window, sums, gradient, state.step))

  return step


def _add(window, sums, gradient, step):
  """Adds a step's sums to the window, and notes the first step whose loss (-1) or gradient (its parameter) is not finite."""
  wide = (g.astype(jnp.promote_types(g.dtype, jnp.float32)) for g in jax.tree.leaves(gradient))
  # As dot products: XLA:CPU adds up a sum one number after the other, at a sixth of their speed.
  squares = jnp.stack([jnp.tensordot(g, g, axes=g.ndim, precision="highest") for g in wide])
  norm = jnp.sqrt(jnp.sum(squares))
  finite_loss = jnp.isfinite(sums["loss"][0])
  healthy = finite_loss & jnp.isfinite(norm)
  leaf = jnp.where(finite_loss, jnp.argmin(jnp.isfinite(squares)), -1)
  seen = window["first_bad"][0] >= 0
  first_bad = jnp.where(healthy | seen, window["first_bad"], jnp.stack([step, leaf]).astype(jnp.int32))
  added = {name: window[name] + value for name, value in sums.items()}
  return {**added, "grad_norm": window["grad_norm"] + jnp.stack([norm, jnp.ones_like(norm)]), "first_bad": first_bad}
