"""TensorFlow Lite, LiteRT by its newer name: a file `answer_0.tflite` for each compiled shape, for phones and small boards.

LiteRT's own converter reads the StableHLO, without TensorFlow. It writes no loops: those over layers or time are written out. A
call answers one example: memory is planned ahead for shapes without unknowns.
"""

import functools
import pathlib
import unittest.mock
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax import export as jax_export

from research.application.formats.program import Program, files, plain, rows

NEEDS = ("litert_converter", "ai_edge_litert")
CANNOT = dict.fromkeys(("text-to-text", "text-generation"), "LiteRT's converter writes no loops, and decoding is one")
_SIGNATURE = "serving_default"


def write(programs: Sequence[Program], folder: pathlib.Path) -> None:
  """Writes a file for each program."""
  from litert_converter import converter_api_ext
  from litert_converter.mlir import ir, passmanager
  from litert_converter.mlir.dialects import stablehlo

  for number, program in enumerate(programs):
    function = jax.jit(program.standing, keep_unused=True)  # else the names would be those of other inputs
    with unittest.mock.patch.object(jax.lax, "scan", functools.partial(jax.lax.scan, unroll=0)):  # 0: all of its steps
      exported = plain(jax_export.export(function, platforms=("cpu",))(*program.inputs.values()))
    context = ir.Context()
    converter_api_ext.prepare_mlir_context(context)
    config = converter_api_ext.ConvertToTFLConfig()
    config.canonicalizing_inf_as_min_max_float = False
    with context:
      module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
      converter_api_ext.set_signature(module.operation, _SIGNATURE, list(program.inputs), list(program.outputs))
      converter_api_ext.run_convert_to_tfl_passes(module, passmanager.PassManager(), config)
      converter_api_ext.export_flatbuffer_to_file(module.operation, str(folder / f"answer_{number}.tflite"))


def load(folder: pathlib.Path) -> Callable[[int, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
  """(number of the program, inputs among others by name) -> outputs by name, by LiteRT's interpreter, row for row."""
  from ai_edge_litert.interpreter import Interpreter

  interpreters = [Interpreter(model_path=str(path)) for path in files(folder, ".tflite")]  # runners do not keep them alive

  def run(number, given):
    runner = interpreters[number].get_signature_runner(_SIGNATURE)
    return rows(lambda row: runner(**row), {name: given[name] for name in runner.get_input_details()})

  return run
