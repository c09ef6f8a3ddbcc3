"""LoRA's identities (Hu et al. 2022): adapters beside a weight, or added to it, give the same network.

Shapes: L layers, B examples, D width, R rank.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Series
from research.pretrained.lora import LoRA
from research.studies.base import Findings, Parts, Study


def beside(params, x_BD, scale: float):
  """L layers tanh(x W + scale (x A) B): the adapters as the paper's figure 1 has them, the weight untouched."""
  layer = lambda x, p: (jnp.tanh(x @ p["kernel"] + scale * (x @ p["lora_a"]) @ p["lora_b"]), None)
  return jax.lax.scan(layer, x_BD, params)[0]


def plain(kernels_LDD, x_BD):
  """The same without adapters."""
  return jax.lax.scan(lambda x, kernel: (jnp.tanh(x @ kernel), None), x_BD, kernels_LDD)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRAMergeIdentity(Study):
  """Trains the adapters of a deep network towards another network, then adds them to its weights.

  Attributes:
    num_layers: layers.
    dim: width.
    rank: of the adapters.
    alpha: what they add is multiplied by alpha / rank.
    batch_size: examples.
    steps: gradient steps, on all examples.
    learning_rate: of these.
  """

  num_layers: int = 6
  dim: int = 128
  rank: int = 4
  alpha: float = 8.0
  batch_size: int = 256
  steps: int = 300
  learning_rate: float = 3.0

  def _problem(self, seed: int):
    """(frozen kernels, adapters, examples, targets): those of a network whose weights differ by low rank."""
    keys = jax.random.split(jax.random.key(seed), 5)
    shape = (self.num_layers, self.dim, self.dim)
    kernels = 1.3 * jax.random.normal(keys[0], shape) / math.sqrt(self.dim)
    adapters = {"lora_a": jax.random.uniform(keys[1], (*shape[:2], self.rank), minval=-1.0) / math.sqrt(self.dim),
                "lora_b": jnp.zeros((self.num_layers, self.rank, self.dim))}
    left, right = (jax.random.normal(keys[i], (*shape[:2], self.rank)) for i in (2, 3))
    x = jax.random.normal(keys[4], (self.batch_size, self.dim))
    return kernels, adapters, x, plain(kernels + left @ right.swapaxes(1, 2) / self.dim, x)

  def _loss(self, adapters, kernels, x, targets):
    return jnp.mean((beside({"kernel": kernels, **adapters}, x, self.alpha / self.rank) - targets) ** 2)

  def objective(self, seed: int, data_dir=None):
    kernels, adapters, x, targets = self._problem(seed)
    return lambda adapters: self._loss(adapters, kernels, x, targets), adapters

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(seed):
      kernels, start, x, targets = self._problem(seed)

      def step(adapters, _):
        loss, gradient = jax.value_and_grad(self._loss)(adapters, kernels, x, targets)
        return jax.tree.map(lambda p, g: p - self.learning_rate * g, adapters, gradient), loss

      end, losses = jax.jit(lambda adapters: jax.lax.scan(step, adapters, length=self.steps))(start)
      outputs = jax.jit(lambda adapters: beside({"kernel": kernels, **adapters}, x, self.alpha / self.rank))
      merge = LoRA(model=None, rank=self.rank, alpha=self.alpha).bare
      base, adapted, merged = plain(kernels, x), outputs(end), plain(merge({"kernel": kernels, **end})["kernel"], x)
      apart = lambda a, b: float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
      return {"start": apart(outputs(start), base), "merge": apart(merged, adapted), "moved": apart(adapted, base),
              "trained": sum(p[0].size for p in start.values()), "losses": losses}

    [found] = parts.each("seed", [seed], run)
    losses = np.asarray(found["losses"])
    return Findings(
        metrics={"start_difference": found["start"], "merge_difference": found["merge"], "moved": found["moved"],
                 "trained_over_formula": found["trained"] / (self.rank * (self.dim + self.dim)),
                 "trained_share": found["trained"] / self.dim**2, "loss_ratio": losses[-1] / losses[0]},
        figures=(Figure("Adapters towards another network", "step", "mean squared error",
                        (Series("adapters alone are trained", np.arange(1, self.steps + 1), losses),), y_scale="log"),))
