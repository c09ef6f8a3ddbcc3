"""TensorFlow's SavedModel: the StableHLO in an operation of TensorFlow's, the weights as its variables.

A folder with a signature `answer_0`, `answer_1`, ... for each compiled shape, for batches of any size; `serving_default` is the
longest of them.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from research.application.formats.program import Program, plain
from research.application.functions import PLATFORMS

NEEDS = ("tensorflow",)
CANNOT: Mapping[str, str] = {}


def write(programs: Sequence[Program], folder: pathlib.Path) -> None:
  """Writes all programs as one model."""
  import tensorflow as tf
  from jax.experimental import jax2tf

  module, names = tf.Module(), list(programs[0].weights)
  module.variables_in_order = [tf.Variable(value) for value in programs[0].weights.values()]

  def signature(program: Program):
    (num,) = jax_export.symbolic_shape("b")
    inputs = {name: jax.ShapeDtypeStruct((num, *x.shape[1:]), x.dtype) for name, x in program.inputs.items()}
    exported = plain(jax_export.export(jax.jit(program.call), platforms=PLATFORMS)(dict(program.weights), inputs))
    call = jax2tf.convert(exported.call, polymorphic_shapes=[None, dict.fromkeys(inputs, "b, ...")], with_gradient=False,
                          native_serialization_platforms=PLATFORMS)
    function = tf.function(lambda **inputs: call(dict(zip(names, module.variables_in_order)), inputs), autograph=False)
    return function.get_concrete_function(**{
        name: tf.TensorSpec((None, *x.shape[1:]), tf.as_dtype(x.dtype), name=name) for name, x in program.inputs.items()})

  signatures = {f"answer_{number}": signature(program) for number, program in enumerate(programs)}
  tf.saved_model.save(module, str(folder), {**signatures, "serving_default": signatures[f"answer_{len(programs) - 1}"]})


def load(folder: pathlib.Path) -> Callable[[int, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
  """(number of the program, inputs among others by name) -> outputs by name, by TensorFlow."""
  import tensorflow as tf

  model: Any = tf.saved_model.load(str(folder))  # signatures do not keep its variables alive

  def run(number, given):
    function = model.signatures[f"answer_{number}"]
    names = function.structured_input_signature[1]
    return {name: value.numpy() for name, value in function(**{name: tf.constant(given[name]) for name in names}).items()}

  return run
