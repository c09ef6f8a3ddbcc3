"""What adapters of low rank can reach: the rank that a linear network needs to become another (Zeng, Lee 2024).

Shapes: N adapted networks at once, L layers, D width, R rank.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Series
from research.optimizers.adam import Adam
from research.optimizers.schedule import Cosine
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


def product(layers_LDD):
  """The matrix of a linear network, the first layer rightmost."""
  whole = layers_LDD[0]
  for layer in layers_LDD[1:]:
    whole = layer @ whole
  return whole


def adapted(params, frozen_LDD, rank_N) -> jax.Array:
  """Matrices (N, D, D) of the frozen network with B A added to each layer; network n uses the first rank[n] columns of B."""
  used_NR = jnp.arange(params["a"].shape[2]) < rank_N[:, None]
  change = jnp.einsum("nldr,nr,nlre->nlde", params["b"], used_NR.astype(params["b"].dtype), params["a"])
  return jax.vmap(product)(frozen_LDD + change)


def tails(gap_DD) -> np.ndarray:
  """Least squared error (D+1,) that a change of rank 0, 1, ... leaves of a gap: the singular values beyond, squared."""
  squares = np.linalg.svd(np.asarray(gap_DD), compute_uv=False) ** 2
  return np.append(np.cumsum(squares[::-1])[::-1], 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRARankThreshold(Study):
  """Adapts random linear networks to random matrices at every rank, up to the one that suffices.

  Attributes:
    width: of all layers.
    depths: layers of the frozen networks, one experiment for each.
    optimizer: of the adapters.
    steps: updates.
  """

  width: int = 16
  depths: tuple[int, ...] = (1, 2, 4)
  optimizer: Adam = Adam(learning_rate=3e-2, schedule=Cosine())
  steps: int = 12_000

  def _problem(self, seed: int, depth: int):
    """The frozen layers (L, D, D), the matrix to become, and fresh adapters of all ranks: those that add nothing."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), depth), 3)
    normal = lambda key, *shape: jax.random.normal(key, shape, float) / np.sqrt(self.width)
    rank = jnp.arange(1, -(-self.width // depth) + 1)
    shape = len(rank), depth, self.width, len(rank)
    adapters = {"a": normal(keys[2], *shape[:2], shape[3], shape[2]), "b": jnp.zeros(shape)}
    return normal(keys[0], depth, self.width, self.width), normal(keys[1], self.width, self.width), rank, adapters

  def _errors(self, params, frozen, goal, rank):
    return jnp.sum((adapted(params, frozen, rank) - goal) ** 2, axis=(1, 2))

  def objective(self, seed: int, data_dir=None):
    frozen, goal, rank, adapters = self._problem(seed, self.depths[-1])
    near = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(seed), p.shape, p.dtype), adapters)
    return lambda params: jnp.sum(self._errors(params, frozen, goal, rank)), near

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(depth):
      frozen, goal, rank, adapters = self._problem(seed, depth)
      loss = lambda params, step: jnp.sum(self._errors(params, frozen, goal, rank))  # a sum: each rank by itself
      params, _ = scanned.train(loss, adapters, self.optimizer, steps=self.steps, every=self.steps, measure=lambda _: {})
      return {"rank": rank, "error": self._errors(params, frozen, goal, rank), "tail": tails(goal - product(frozen))}

    metrics, series = {}, []
    for depth, found in zip(self.depths, parts.each("depth", self.depths, run)):
      rank, error, tail = (np.asarray(found[name]) for name in ("rank", "error", "tail"))
      total = rank * depth
      short = total < self.width
      over = error[short] / tail[total[short]]
      metrics |= {f"least_over_tail_{depth}": over.min(), f"most_over_tail_{depth}": over.max(),
                  f"left_at_threshold_{depth}": error[~short].max() / tail[0],
                  f"left_below_threshold_{depth}": error[short].min() / tail[0]}
      at = [0, *total[short]]
      series.append(Series(f"{depth} layer{'s' if depth > 1 else ''}, adapted", at, np.append(tail[0], error[short]) / tail[0],
                           kind="points"))
      series.append(Series(f"{depth} layer{'s' if depth > 1 else ''}, singular values beyond", range(self.width),
                           tail[:self.width] / tail[0], kind="theory"))
    return Findings(metrics=metrics, figures=(Figure(
        "What adapters leave of the gap", "rank x layers", "squared error / squared gap", tuple(series), y_scale="log",
        marks=(Mark("x", self.width, "threshold"),),
        caption="The error is that of the best change of rank R·L, whatever the depth; from R·L = width on nothing is left."),))
