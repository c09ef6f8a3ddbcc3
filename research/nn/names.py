"""Names of a network's parameters in the files of others: plain data, written beside the network, read by research/pretrained.

A table lists every parameter, one row each, under the names that a library gives it. What a row says can be read in both
directions, so the same table loads such a file and writes one.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

# How dimensions are ordered there. "same": as here. "linear": (outputs, inputs). "conv": OIHW, torch's; depthwise too.
# "conv1d": the same of one dimension. "depthwise": (height, width, channels, 1), Keras'; here (height, width, 1, channels).
Layout = Literal["same", "linear", "conv", "conv1d", "depthwise"]


@dataclasses.dataclass(frozen=True)
class Row:
  """One of our parameters, or one layer of a stacked one, and where a file has it.

  Attributes:
    theirs: the tensor's name in the file.
    ours: the parameter's path, "layers/3/mlp/up/kernel". If the layers are stacked, this is row 3 of "layers/mlp/up/kernel".
    layout: order of the file's dimensions.
    shape: the tensor's shape in the file (that of the part, if it is one), where ours is not just a transposition of it.
    part: (k, n): the k-th of n equal parts of the outputs, our last dimension (queries, keys and values in one tensor).
    adapt: (array in our order of dimensions, our shape) -> array of our shape; used if shapes differ, and said in the log
      (position embeddings of another resolution). Raises ValueError if it cannot.
    also: further names under which a file may have the same tensor, beside `theirs` or instead (tied weights). All must agree.
    absent: what all numbers are where a file does not have the tensor; None: it must have it.
  """

  theirs: str
  ours: str
  layout: Layout = "same"
  shape: tuple[int, ...] | None = None
  part: tuple[int, int] | None = None
  adapt: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] | None = None
  also: tuple[str, ...] = ()
  absent: float | None = None


@dataclasses.dataclass(frozen=True)
class Table:
  """All parameters under one library's names.

  Attributes:
    rows: one for each, in the order in which the library has them.
    unused: regexes of tensors that such files hold and that are no parameters of this network (counters, optimizers).
    prefix: begins the names of the network below its head ("vit."); files of the bare network are without it.
    older: (ending of a name in older files, the same in the rows).
    fixed: tensors that are no parameters but follow from the configuration (vectors of positions), and what computes them. They
      are written; a file need not have them, but must have no others.
  """

  rows: tuple[Row, ...]
  unused: tuple[str, ...] = ()
  prefix: str = ""
  older: tuple[tuple[str, str], ...] = ()
  fixed: tuple[tuple[str, Callable[[], np.ndarray]], ...] = ()


KERAS_UNUSED = (r"optimizer/\d+", r".*seed_generator.*")  # the state of training and of dropout
TORCH_UNUSED = (r".*\.num_batches_tracked",)


def norm_rows(theirs: str, ours: str, kind: Literal["torch", "keras", "flax"], *, batch: bool = False) -> tuple[Row, ...]:
  """Rows of a normalisation: scale and bias, and with `batch` the running mean and variance."""
  words = {"torch": (".weight", ".bias", ".running_mean", ".running_var"), "keras": ("/0", "/1", "/2", "/3"),
           "flax": ("/scale", "/bias")}[kind]
  names = ("scale", "bias", "mean", "variance") if batch else ("scale", "bias")
  return tuple(Row(theirs + word, f"{ours}/{name}") for word, name in zip(words, names))


def torch_rows(theirs: str, ours: str, layout: Layout, *, bias: bool = True) -> tuple[Row, ...]:
  """Rows of a dense layer or a convolution of torch."""
  rows = (Row(f"{theirs}.weight", f"{ours}/kernel", layout), Row(f"{theirs}.bias", f"{ours}/bias"))
  return rows if bias else rows[:1]


def keras_rows(theirs: str, ours: str, layout: Layout = "same", *, bias: bool = True) -> tuple[Row, ...]:
  """Rows of a dense layer or a convolution of Keras, whose variables are numbered."""
  rows = (Row(f"{theirs}/0", f"{ours}/kernel", layout), Row(f"{theirs}/1", f"{ours}/bias"))
  return rows if bias else rows[:1]


def flax_rows(theirs: str, ours: str) -> tuple[Row, ...]:
  """Rows of a dense layer or a convolution of Flax."""
  return tuple(Row(f"{theirs}/{word}", f"{ours}/{word}") for word in ("kernel", "bias"))
