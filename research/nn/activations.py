"""Activation functions by name."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

Activation = Literal["identity", "relu", "tanh", "gelu", "gelu_tanh", "silu", "square", "sigmoid"]

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),  # x Φ(x) itself, as in BERT
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),  # its approximation, as in GPT-2
    "silu": jax.nn.silu,
    "square": jnp.square,
    "sigmoid": jax.nn.sigmoid,
}
