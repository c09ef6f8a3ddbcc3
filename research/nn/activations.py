"""Activation functions by name."""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

Activation = Literal["identity", "relu", "tanh", "gelu", "gelu_tanh", "silu", "square", "sigmoid"]


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
  """x Φ(x), Φ the normal distribution function (Hendrycks, Gimpel 2016), by erf as PyTorch computes it.

  Within 1.2e-6 in float32. jax.nn.gelu goes through erfc, exact far to the left of 0 also relative to the value, at 2.7 times
  the cost on CPU; and the derivative here shares erf with the value.
  """
  return x * _normal_distribution(x)


@gelu.defjvp
def _gelu_jvp(primals, tangents):
  (x,), (dx,) = primals, tangents
  below = _normal_distribution(x)
  slope = below + x * (jnp.exp(-0.5 * jnp.square(x)) * (1 / math.sqrt(2 * math.pi)))
  return x * below, slope * dx


def _normal_distribution(x):
  return 0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5))


ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": gelu,  # x Φ(x) itself, as in BERT and ViT
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),  # its approximation, as in GPT-2
    "silu": jax.nn.silu,
    "square": jnp.square,
    "sigmoid": jax.nn.sigmoid,
}
