"""More sparse features than dimensions: the toy model of superposition (Elhage et al. 2022).

Shapes: N instances trained at once, B examples, F features, H hidden dimensions.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError
from research.figures import Figure, Mark, Series
from research.optimizers.adam import Adam
from research.studies import scanned
from research.studies.base import Findings, Parts, Study


def reconstruct(params, x_NBF):
  """ReLU(Wᵀ W x + b), with kernel W (N, H, F) and bias b (N, F)."""
  hidden_NBH = jnp.einsum("nhf,nbf->nbh", params["kernel"], x_NBF)
  return jax.nn.relu(jnp.einsum("nhf,nbh->nbf", params["kernel"], hidden_NBH) + params["bias"][:, None])


def dimensionality(kernel_NHF) -> np.ndarray:
  """The share of a dimension that each feature has, (N, F): ‖Wᵢ‖² / Σⱼ (Ŵᵢ·Wⱼ)², 0 for a feature that has none."""
  squares = np.sum(np.square(kernel_NHF), axis=1)
  products = np.einsum("nhf,nhg->nfg", kernel_NHF, kernel_NHF)
  return squares**2 / np.maximum(np.sum(products**2, axis=2), 1e-30)


def angles(vectors_HF) -> np.ndarray:
  """Degrees between neighbours of vectors in the plane, all the way round: (F,), their sum is 360."""
  around = np.sort(np.degrees(np.arctan2(vectors_HF[1], vectors_HF[0])))
  return np.diff(np.append(around, around[0] + 360))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Superposition(Study):
  """Trains tied autoencoders through a narrow layer on features of graded importance, at several sparsities.

  Attributes:
    num_features: features of the input.
    num_hidden: dimensions of the narrow layer.
    importance: feature i counts with importance^i in the loss.
    sparsities: share of zeros in the input (S), one run for each; what is not zero is uniform in 0..1.
    instances: networks trained beside each other, each on its own data.
    optimizer: of all.
    batch_size: examples a step.
    steps: updates.
    represented: a feature counts as represented if its column's norm is above this.
  """

  num_features: int = 5
  num_hidden: int = 2
  importance: float = 0.9
  sparsities: tuple[float, ...] = (0.0, 0.9, 0.95, 0.99)
  instances: int = 8
  optimizer: Adam = Adam(learning_rate=3e-3)
  batch_size: int = 1_024
  steps: int = 10_000
  represented: float = 0.5

  def __post_init__(self):
    if not all(0 <= sparsity < 1 for sparsity in self.sparsities):
      raise ConfigError(f"sparsities={self.sparsities}: each is at least 0 and below 1")

  def _initial(self, seed: int):
    """Xavier's N(0, 2/(fan_in + fan_out)) and no bias."""
    deviation = np.sqrt(2 / (self.num_features + self.num_hidden))
    shape = self.instances, self.num_hidden, self.num_features
    return {"kernel": deviation * jax.random.normal(jax.random.key(seed), shape, float),
            "bias": jnp.zeros((self.instances, self.num_features))}

  def _loss(self, key, sparsity: float):
    weights_F = self.importance ** jnp.arange(self.num_features)
    shape = self.instances, self.batch_size, self.num_features

    def loss(params, step):
      # One number decides both: whether there is a value, and, uniform again, which.
      u = jax.random.uniform(jax.random.fold_in(key, step), shape, float)
      x_NBF = jnp.maximum(u - sparsity, 0) / (1 - sparsity)
      return jnp.sum(jnp.mean(weights_F * (x_NBF - reconstruct(params, x_NBF)) ** 2, axis=(1, 2)))  # a sum: independent

    return loss

  def objective(self, seed: int, data_dir=None):
    loss = self._loss(jax.random.key(seed), self.sparsities[-1])
    # Where an input is zero, a bias of zero puts relu on its kink.
    near = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(seed), p.shape, p.dtype), self._initial(seed))
    return lambda params: loss(params, 0), near

  def measure(self, seed: int, parts: Parts) -> Findings:
    def run(sparsity):
      key = jax.random.fold_in(jax.random.key(seed), round(1e6 * sparsity))
      params, _ = scanned.train(self._loss(key, sparsity), self._initial(seed), self.optimizer, steps=self.steps,
                                every=self.steps, measure=lambda _: {})
      return params["kernel"]

    kernels = dict(zip(self.sparsities, map(np.asarray, parts.each("sparsity", self.sparsities, run))))
    metrics, shares = {}, {}
    for sparsity, kernel in kernels.items():
      norms = np.linalg.norm(kernel, axis=1)
      features = np.sum(norms > self.represented, axis=1)
      shares[sparsity] = dimensionality(kernel)
      metrics |= {f"fewest_features_{sparsity:g}": features.min(), f"most_features_{sparsity:g}": features.max(),
                  f"mean_features_{sparsity:g}": features.mean(),
                  f"least_dimensionality_{sparsity:g}": shares[sparsity].min(),
                  f"most_dimensionality_{sparsity:g}": shares[sparsity].max(),
                  f"angle_error_{sparsity:g}": np.mean([np.abs(angles(w) - 360 / w.shape[1]).max() for w in kernel])}
    return Findings(metrics=metrics, figures=(self._plane(kernels), self._dimensions(shares)))

  def _plane(self, kernels) -> Figure:
    around = np.linspace(0, 2 * np.pi, 100)
    return Figure(
        "Features in the plane, first instance", "first dimension", "second dimension",
        (*(Series(f"{sparsity:.0%} zeros", kernel[0, 0], kernel[0, 1], kind="points") for sparsity, kernel in kernels.items()),
         Series("norm 1", np.cos(around), np.sin(around), kind="theory")), alone=True,
        caption="Dense inputs: two features, at right angles, the others nothing. Sparse inputs: all five, as a pentagon.")

  def _dimensions(self, shares) -> Figure:
    at = np.concatenate([np.full(share.size, 1 / (1 - sparsity)) for sparsity, share in shares.items()])
    return Figure(
        "Share of a dimension that each feature has", "1 / (1 − share of zeros)", "dimensionality",
        (Series("a feature of a network", at, np.concatenate([share.ravel() for share in shares.values()]), kind="points"),),
        x_scale="log", marks=(Mark("y", 2 / 5, "pentagon"), Mark("y", 1, "one each")),
        caption="The sparser the inputs, the more features there are, and the less of a dimension each has.")
