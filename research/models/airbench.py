"""The small residual-free network that reads CIFAR-10 within seconds (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds").

Shapes: B examples, H height, W width, C channels, N patches, P entries of a patch.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from research.config import ConfigError
from research.nn.activations import gelu
from research.nn.convolution import Conv
from research.nn.dense import Dense
from research.nn.initializers import parameter_dtype
from research.nn.norms import BatchNorm
from research.nn.pooling import max_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A fixed layer that whitens small patches, groups of two convolutions, a maximum over all places, a dense head.

  Attributes:
    widths: channels of each group, which halves the image.
    patch: side of the patches that the first layer whitens.
    whitening_eps: added to the variances of their principal components.
    num_examples: training images, from the first, whose patches are whitened.
    output_scale: a factor on the logits.
    norm_eps: added to variances in batch normalisation, which has a bias and no scale.
    norm_decay: of its running statistics.
  """

  widths: tuple[int, ...] = (64, 256, 256)
  patch: int = 2
  whitening_eps: float = 5e-4
  num_examples: int = 5000
  output_scale: float = 1 / 9
  norm_eps: float = 1e-12
  norm_decay: float = 0.6

  def __post_init__(self):
    if not self.widths or min(*self.widths, self.patch, self.num_examples) < 1:
      raise ConfigError(f"widths={self.widths}, patch={self.patch}, num_examples={self.num_examples}: must be at least 1")

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> "Airbench":
    """The network for images (B, H, W, C).

    Raises:
      ConfigError: the images are too small for so many groups.
    """
    return Airbench(self, inputs, num_outputs, rngs)

  def adapt(self, params: dict, inputs_BHWC: jax.Array) -> dict:
    """The parameters with the whitening layer that these images ask for: section 3.2.

    Its kernels are the principal directions of all patches (not centred), each divided by the root of its variance, then the
    same with the other sign.
    """
    variances, directions_PP = np.linalg.eigh(_second_moment(np.asarray(inputs_BHWC, np.float32), self.patch))
    whitening = (directions_PP / np.sqrt(variances + self.whitening_eps))[:, ::-1]  # the largest variance first
    kernel = params["whitening"]["kernel"]
    values = np.concatenate([whitening, -whitening], 1).reshape(kernel.shape).astype(kernel.dtype)
    return {**params, "whitening": {**params["whitening"], "kernel": jnp.asarray(values)}}


def _second_moment(x_BHWC: np.ndarray, patch: int) -> np.ndarray:
  """(P, P): the mean over all patches of patch patchᵀ, in float64."""
  num_entries = patch * patch * x_BHWC.shape[-1]
  total, num = np.zeros((num_entries, num_entries)), 0
  for some_BHWC in np.array_split(x_BHWC, math.ceil(len(x_BHWC) / 500)):
    windows = np.lib.stride_tricks.sliding_window_view(some_BHWC, (patch, patch), (1, 2))  # (B, rows, columns, C, h, w)
    patches_NP = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, num_entries).astype(np.float64)
    total, num = total + patches_NP.T @ patches_NP, num + len(patches_NP)
  return total / num


class Group(nnx.Module):
  """Convolution, maximum of 2x2 places, normalisation, GELU, convolution, normalisation, GELU."""

  def __init__(self, config: Config, num_inputs: int, num_outputs: int, *, dtype, rngs: nnx.Rngs):
    conv = lambda inputs: _identity_first(Conv(inputs, num_outputs, (3, 3), padding=1, bias=False, init="torch_uniform",
                                               dtype=dtype, rngs=rngs))
    norm = functools.partial(BatchNorm, num_outputs, eps=config.norm_eps, decay=config.norm_decay, scale=False, dtype=dtype)
    self.first, self.first_norm = conv(num_inputs), norm()
    self.second, self.second_norm = conv(num_outputs), norm()

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    x = gelu(self.first_norm(max_pool(self.first(x_BHWC), 2, stride=2), key=key))
    return gelu(self.second_norm(self.second(x), key=key))


def _identity_first(conv: Conv) -> Conv:
  """Makes the first outputs copies of the inputs (section 3.3)."""
  kernel = conv.kernel[...]
  num = min(kernel.shape[2:])
  centre = jnp.zeros((*kernel.shape[:3], num), kernel.dtype).at[1, 1, jnp.arange(num), jnp.arange(num)].set(1)
  conv.kernel[...] = jnp.concatenate([centre, kernel[..., num:]], -1)
  return conv


class Airbench(nnx.Module):
  """Parameters: whitening/kernel, whitening/bias, groups/0/first/kernel, groups/0/first_norm/bias, groups/0/second/kernel,
  groups/0/second_norm/bias, ..., head/kernel."""

  def __init__(self, config: Config, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs):
    if len(inputs.shape) != 4 or (min(inputs.shape[1:3]) - config.patch + 1) >> len(config.widths) < 1:
      raise ConfigError(f"widths={config.widths}: {len(config.widths)} groups halve images that often, not {inputs.shape}")
    self.config, dtype = config, parameter_dtype(inputs.dtype)
    dim = 2 * config.patch**2 * inputs.shape[-1]
    self.whitening = Conv(inputs.shape[-1], dim, (config.patch, config.patch), init="lecun_normal", dtype=dtype, rngs=rngs)
    groups = []
    for width in config.widths:
      groups.append(Group(config, dim, width, dtype=dtype, rngs=rngs))
      dim = width
    self.groups = nnx.List(groups)
    self.head = Dense(dim, num_outputs, bias=False, init="torch_uniform", dtype=dtype, rngs=rngs)

  def features(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """(B, channels): the largest over all places."""
    x = gelu(self.whitening(x_BHWC))
    return functools.reduce(lambda x, group: group(x, key=key), self.groups, x).max((1, 2))

  def __call__(self, x_BHWC: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns (B, num_outputs)."""
    return self.head(self.features(x_BHWC, key=key)) * self.config.output_scale
