"""Memory that a gradient needs for a chain of n layers, kept whole or recomputed segment by segment."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from research import flops
from research.figures import Figure, Series
from research.studies.base import Findings, Parts, Study


def chain(kernels, x, *, segment: int | None):
  """x (batch, dim) through tanh(x @ kernel) for kernels (n, dim, dim).

  Args:
    kernels: one a layer, in order.
    x: input.
    segment: layers that are recomputed together in the backward pass, which keeps only each segment's input; it must
      divide n. None keeps every activation.
  """
  layers = lambda x, kernels: jax.lax.scan(lambda x, kernel: (jnp.tanh(x @ kernel), None), x, kernels)
  if segment is None:
    return layers(x, kernels)[0]
  segments = kernels.reshape(-1, segment, *kernels.shape[1:])
  return jax.lax.scan(jax.checkpoint(layers), x, segments)[0]


def slope(x, y) -> float:
  """Of log y over log x, by least squares."""
  return float(np.polyfit(np.log(x), np.log(y), 1)[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActivationRecomputation(Study):
  """Compiles the gradient of chains of growing length, and reads the temporary memory the compiler reserves.

  Attributes:
    lengths: numbers of layers; squares, so that segments of √n fit.
    dim: width of a layer.
    batch_size: rows; an activation has batch_size x dim float32 values.
    checked_length: the chain whose two gradients are computed and compared; a square.
  """

  lengths: tuple[int, ...] = (16, 64, 256, 1024)
  dim: int = 256
  batch_size: int = 256
  checked_length: int = 16

  def __post_init__(self):
    for n in (*self.lengths, self.checked_length):
      if math.isqrt(n) ** 2 != n:
        raise ValueError(f"{n} layers do not fall into √n segments of √n: give squares")

  def _gradient(self, segment: int | None):
    return jax.jit(jax.grad(lambda x, kernels: jnp.sum(chain(kernels, x, segment=segment))))

  def _shapes(self, n: int):
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((self.batch_size, self.dim), (n, self.dim, self.dim))]

  def _activations(self, n: int, segment: int | None) -> float:
    """Temporary bytes over those of one activation."""
    compiled = self._gradient(segment).lower(*self._shapes(n)).compile()
    return compiled.memory_analysis().temp_size_in_bytes / (4 * self.batch_size * self.dim)

  def _problem(self, seed: int):
    x_key, kernel_key = jax.random.split(jax.random.key(seed))
    kernels = jax.random.normal(kernel_key, (self.checked_length, self.dim, self.dim)) / math.sqrt(self.dim)
    return jax.random.normal(x_key, (self.batch_size, self.dim)), kernels

  def objective(self, seed: int, data_dir=None):
    x, kernels = self._problem(seed)
    return lambda x: jnp.mean(chain(kernels, x, segment=math.isqrt(self.checked_length))), x

  def measure(self, seed: int, parts: Parts) -> Findings:
    both = lambda n: [self._activations(n, None), self._activations(n, math.isqrt(n))]
    plain, segmented = np.array(parts.each("layers", self.lengths, both)).T
    inputs = self._problem(seed)
    kept, again = (self._gradient(segment)(*inputs) for segment in (None, math.isqrt(self.checked_length)))
    lengths, longest = np.array(self.lengths), max(self.lengths)
    work_plain, work_segmented = (flops.count(self._gradient(segment), *self._shapes(longest)).products
                                  for segment in (None, math.isqrt(longest)))
    return Findings(
        metrics={"slope_plain": slope(lengths, plain), "slope_segmented": slope(lengths, segmented),
                 "ratio_longest": plain[-1] / segmented[-1], "work_ratio": work_segmented / work_plain,
                 "gradient_difference": float(jnp.max(jnp.abs(kept - again)) / jnp.max(jnp.abs(kept)))},
        figures=(Figure(
            "Memory of a gradient over depth", "layers", "temporary memory (activations)",
            (Series("kept", lengths, plain), Series("recomputed in √n segments", lengths, segmented),
             Series("n", lengths, plain[0] * lengths / lengths[0], kind="theory"),
             Series("√n", lengths, segmented[0] * np.sqrt(lengths / lengths[0]), kind="theory")),
            caption="Kept activations grow with the depth, recomputed ones with its root; both theories start at the first "
                    "measured point.",
            x_scale="log", y_scale="log"),),
        notes=(f"Memory as reserved by XLA for {jax.default_backend()}, jax {jax.__version__}; at {lengths[-1]} layers "
               f"{plain[-1]:.0f} activations against {segmented[-1]:.0f}.",))
