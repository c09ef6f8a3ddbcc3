"""What other file formats are made of: a bundle's answer, its weights, and what of a batch it reads."""

import dataclasses
import pathlib
import unittest.mock
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import stablehlo

from research.application.bundle import Contents, batch_of_one
from research.application.functions import answering
from research.application.weights import store

_VERSION = "1.13.0"  # of StableHLO: TensorFlow 2.21 reads it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
  """One of a bundle's compiled shapes.

  Attributes:
    call: (weights, inputs) -> arrays (B, ...) by name, the function that the bundle holds as StableHLO; jax traces it.
    weights: arrays by name.
    inputs: by name, abstract, a batch of one: features, their lengths, options. Every row is asked for.
    outputs: the names of what comes out.
  """

  call: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, jax.Array]]
  weights: Mapping[str, np.ndarray]
  inputs: Mapping[str, jax.ShapeDtypeStruct]
  outputs: tuple[str, ...]

  def standing(self, *inputs: jax.Array) -> tuple[jax.Array, ...]:
    """The outputs of the inputs, both in the order of their names here; the weights are constants.

    Where there are ways for one platform, the way for all others is taken: what XLA does fast on a CPU other runtimes do not,
    and they lack some of its operations.
    """
    weights = {name: jnp.asarray(value) for name, value in self.weights.items()}
    with unittest.mock.patch.object(jax.lax, "platform_dependent", lambda *args, default, **others: default(*args)):
      found = self.call(weights, dict(zip(self.inputs, inputs, strict=True)))
    return tuple(found[name] for name in self.outputs)


def plain(exported: jax_export.Exported) -> jax_export.Exported:
  """The same in StableHLO's own operations: in the place of composites, erf and top_k among them, comes what they consist of.

  jax writes composites in a newer way than TensorFlow 2.21 reads, and LiteRT's converter keeps them as they are.
  """
  stablehlo.register_stablehlo_passes()
  with ir.Context() as context:
    stablehlo.register_dialect(context)
    module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
    passes = "builtin.module(func.func(stablehlo-legalize-composite-to-call),inline,symbol-dce)"
    passmanager.PassManager.parse(passes).run(module.operation)
    serialized = stablehlo.serialize_portable_artifact(module, _VERSION)
  return dataclasses.replace(exported, mlir_module_serialized=serialized)


def files(folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
  """A format's files, each program's in its place."""
  return [folder / f"answer_{number}{suffix}" for number in range(len(list(folder.glob(f"answer_*{suffix}"))))]


def rows(answer: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
         given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """(B, ...) by name of a function that takes a batch of one."""
  num = len(next(iter(given.values())))
  found = [answer({name: value[b:b + 1] for name, value in given.items()}) for b in range(num)]
  return {name: np.concatenate([row[name] for row in found]) for name in found[0]}


def programs(contents: Contents) -> list[Program]:
  """One for each of the application's lengths; their weights are float32."""
  answer = answering(contents.network, contents.task, contents.application)
  weights = store(contents.params, contents.buffers, "float32")

  def call(weights, inputs):
    num = next(iter(inputs.values())).shape[0]
    return answer(weights, {**inputs, "mask": jnp.ones(num), "index": jnp.zeros(num, jnp.int32)})

  found = []
  for lengths in contents.application.lengths:
    inputs = {name: x for name, x in batch_of_one(contents, lengths).items() if name not in ("mask", "index")}
    outputs = tuple(sorted(jax.eval_shape(call, weights, inputs)))
    found.append(Program(call=call, weights=weights, inputs=inputs, outputs=outputs))
  return found
