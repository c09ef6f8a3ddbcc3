"""How a bundle stores weights: as they are, as bfloat16, or as int8 with a scale for each row of outputs."""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

Storage = Literal["float32", "bfloat16", "int8"]
_SCALE = ".scale"
_SMALL = 1024  # arrays of fewer numbers, and vectors, stay float32: biases and scales of norms matter most and cost least


def store(params: Any, buffers: Any, storage: Storage) -> dict[str, np.ndarray]:
  """All variables as arrays by name, for `restore`. "float32" keeps every array as it is."""
  found = {}
  for name, value in _named({"params": params, "buffers": buffers}).items():
    array = np.asarray(jax.device_get(value))
    large = array.ndim > 1 and array.size >= _SMALL and jnp.issubdtype(array.dtype, jnp.floating)
    if large and storage == "bfloat16":
      array = array.astype(ml_dtypes.bfloat16)
    elif large and storage == "int8":
      # Symmetric, over the dim that a product sums over: the last but one of a kernel, the last of a table of vectors.
      scale = np.abs(array).max(-1 if name.endswith("embedding") else -2, keepdims=True).astype(np.float32) / 127
      found[name + _SCALE] = scale = np.where(scale > 0, scale, np.float32(1))
      array = np.rint(array / scale).astype(np.int8)
    found[name] = array
  return found


def restore(arrays: Mapping[str, jax.Array], params: Any, buffers: Any) -> tuple[Any, Any]:
  """The inverse of `store`, traced; `params` and `buffers` say shapes and types."""

  def value(name, like):
    array = arrays[name]
    if name + _SCALE in arrays:
      array = array.astype(jnp.float32) * arrays[name + _SCALE]
    return array.astype(like.dtype)

  tree = {"params": params, "buffers": buffers}
  found = {name: value(name, like) for name, like in _named(tree).items()}
  whole = jax.tree.unflatten(jax.tree.structure(tree), found.values())
  return whole["params"], whole["buffers"]


def _named(tree: Any) -> dict[str, Any]:
  return {"/".join(str(key.key) for key in path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
