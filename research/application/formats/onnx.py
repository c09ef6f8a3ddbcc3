"""ONNX: a file `answer_0.onnx` for each compiled shape, which many runtimes and other languages read.

jax2onnx translates what jax traced, an operation at a time: the one of these formats that is not made of StableHLO. A call
answers one example: of several operations jax2onnx writes no shapes with unknowns. It refuses loops that run backwards,
as in recurrent networks of both directions.
"""

import logging
import pathlib
import unittest.mock
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from research.application.formats.program import Program, files, rows

NEEDS = ("jax2onnx", "onnxruntime")
CANNOT = dict.fromkeys(("text-to-text", "text-generation"), "jax2onnx knows no random keys, which the loop of decoding carries")


def write(programs: Sequence[Program], folder: pathlib.Path) -> None:
  """Writes a file for each program; the weights of large ones lie beside it."""
  # Traced before jax2onnx is there: it has rules of its own for functions of jax.numpy, with fewer arguments, and puts one of
  # them in jax's place for good.
  traced = [jax.make_jaxpr(program.standing)(*program.inputs.values()) for program in programs]
  # It warns, with a traceback each, of the operations of other packages that it cannot load with this jax.
  logging.getLogger("jax2onnx.plugins.plugin_system").setLevel(logging.ERROR)
  with unittest.mock.patch.object(jnp, "cumsum", jnp.cumsum):
    import jax2onnx

    for number, (program, jaxpr) in enumerate(zip(programs, traced)):
      jax2onnx.to_onnx(jax.extend.core.jaxpr_as_fun(jaxpr), list(program.inputs.values()), input_names=list(program.inputs),
                       output_names=list(program.outputs), return_mode="file", output_path=folder / f"answer_{number}.onnx")


def load(folder: pathlib.Path) -> Callable[[int, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
  """(number of the program, inputs among others by name) -> outputs by name, by ONNX Runtime, row for row."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # errors; it warns of every constant that nothing reads
  sessions = [onnxruntime.InferenceSession(path, options) for path in files(folder, ".onnx")]

  def run(number, given):
    session = sessions[number]
    inputs, outputs = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    return rows(lambda row: dict(zip(outputs, session.run(outputs, row))), {name: given[name] for name in inputs})

  return run
