"""Initial values of weights, by the names the literature uses."""

import math
from typing import Literal

import jax
import jax.numpy as jnp

Init = Literal["lecun_normal", "he_normal", "glorot_uniform", "torch_uniform", "normal", "zeros"]


def initialize(init: Init, key: jax.Array, shape: tuple[int, ...], dtype, *, fan_in: int, fan_out: int,
               scale: float = 1.0) -> jax.Array:
  """Draws an array. The Gaussians are not truncated.

  Args:
    init: "lecun_normal", N(0, 1/fan_in) (LeCun et al. 1998); "he_normal", N(0, 2/fan_in) (He et al. 2015);
      "glorot_uniform", ±sqrt(6/(fan_in + fan_out)) (Glorot, Bengio 2010); "torch_uniform", ±1/sqrt(fan_in) (PyTorch's
      default, for biases too); "normal", N(0, 1); "zeros".
    key: random key.
    shape: shape of the array.
    dtype: its type.
    fan_in: inputs of one unit.
    fan_out: units one input reaches.
    scale: a factor on everything; with "normal" it is the standard deviation.
  """
  uniform = lambda limit: jax.random.uniform(key, shape, dtype, -limit, limit)
  normal = lambda deviation: deviation * jax.random.normal(key, shape, dtype)
  match init:
    case "lecun_normal":
      values = normal(math.sqrt(1 / fan_in))
    case "he_normal":
      values = normal(math.sqrt(2 / fan_in))
    case "glorot_uniform":
      values = uniform(math.sqrt(6 / (fan_in + fan_out)))
    case "torch_uniform":
      values = uniform(math.sqrt(1 / fan_in))
    case "normal":
      values = normal(1.0)
    case "zeros":
      values = jnp.zeros(shape, dtype)
  return scale * values


def initialize_bias(init: Init, key: jax.Array, shape: tuple[int, ...], dtype, *, fan_in: int) -> jax.Array:
  """Zeros, except under "torch_uniform", which draws biases as it draws weights."""
  name = "torch_uniform" if init == "torch_uniform" else "zeros"
  return initialize(name, key, shape, dtype, fan_in=fan_in, fan_out=1)


def parameter_dtype(inputs_dtype) -> jnp.dtype:
  """The type of the parameters of a network with such inputs: float64 where they are, else float32."""
  floating = jnp.issubdtype(inputs_dtype, jnp.floating)
  return jnp.promote_types(inputs_dtype, jnp.float32) if floating else jnp.dtype(jnp.float32)
