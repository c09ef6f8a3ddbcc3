"""What the modes export, predict and serve can be told."""

import dataclasses
from typing import Literal

from research.config import ConfigError, outside


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
  """What is put into a bundle.

  Attributes:
    weights: how they are stored: as they are, or with fewer bits where that costs no more than max_loss.
    max_loss: by how much the task's metric may fall on the gate's examples with fewer bits, as 0.01 of accuracy.
    split: the evaluation split whose examples the gate takes; None for the first.
    num_examples: the gate's, spread evenly over the split.
    batch_sizes: what is compiled, rising.
    explain: whether the explanation is exported too, where the task has one.
    also: formats of other runtimes in which the answer is written too, without the explanation; each passes the same gate.
  """

  weights: Literal["float32", "bfloat16", "int8"] = "float32"
  max_loss: float = 0.01
  split: str | None = None
  num_examples: int = 64
  batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
  explain: bool = True
  also: tuple[Literal["saved_model", "tflite", "onnx"], ...] = ()

  def __post_init__(self):
    if len(set(self.also)) < len(self.also):
      raise ConfigError(f"export.also={self.also}: names a format twice")
    if self.also and self.weights != "float32":
      raise ConfigError(f"export.also={self.also}: other formats hold float32 weights, not export.weights={self.weights}")
    if self.num_examples < 1:
      raise ConfigError(f"export.num_examples={self.num_examples}: must be 1 or more")
    if self.max_loss < 0:
      raise ConfigError(f"export.max_loss={self.max_loss}: must be 0 or more")
    if not self.batch_sizes or list(self.batch_sizes) != sorted(set(self.batch_sizes)) or self.batch_sizes[0] < 1:
      raise ConfigError(f"export.batch_sizes={self.batch_sizes}: must be rising numbers from 1 on")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
  """What is answered.

  Attributes:
    inputs: files, folders and globs, the command's words after the flags; "-" for lines of standard input.
    output: a file for the answers, one JSON object a line; what it already holds is not answered again. None for standard
      output.
    explain: whether each answer comes with its explanation.
    bundle: a folder; None for the one that --mode=export made of the experiment.
  """

  inputs: tuple[str, ...] = outside(())
  output: str | None = None
  explain: bool = False
  bundle: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve:
  """Where and how the server listens.

  Attributes:
    host: the address; 0.0.0.0 lets other machines in.
    port: the port; 0 takes a free one.
    bundles: folders of more bundles, served beside the experiment's own.
    token_file: a file whose first line every request must bring (Authorization: Bearer ...); the page asks for it.
    certificate: a PEM file: the server then speaks TLS.
    key: its private key.
    queue: inputs that may be on their way at a time; more are told to come again (503).
    threads: for decoding and tokenizing; None for one a core.
    request_bytes: the largest body of a request.
    memory_bytes: of all bodies that are held at a time.
    pixels: the largest image, by its header, before it is decoded.
    audio_seconds: the longest recording.
    characters: the longest text.
    inputs: of one request.
    answer_seconds: until an answer must be there; else 503.
    idle_seconds: that a client may say nothing while it sends a request, or between two.
    drain_seconds: after SIGTERM, for what was accepted.
  """

  host: str = "127.0.0.1"
  port: int = 8000
  bundles: tuple[str, ...] = ()
  token_file: str | None = None
  certificate: str | None = None
  key: str | None = None
  queue: int = 256
  threads: int | None = None
  request_bytes: int = 32 * 2**20
  memory_bytes: int = 512 * 2**20
  pixels: int = 50_000_000
  audio_seconds: float = 600.0
  characters: int = 100_000
  inputs: int = 64
  answer_seconds: float = 60.0
  idle_seconds: float = 10.0
  drain_seconds: float = 30.0

  def __post_init__(self):
    if not 0 <= self.port < 65_536:
      raise ConfigError(f"serve.port={self.port}: must be from 0 to 65535")
    for name in ("queue", "threads", "request_bytes", "memory_bytes", "pixels", "audio_seconds", "characters", "inputs",
                 "answer_seconds", "idle_seconds", "drain_seconds"):
      value = getattr(self, name)
      if value is not None and value <= 0:
        raise ConfigError(f"serve.{name}={value}: must be above 0")
    if self.memory_bytes < self.request_bytes:
      raise ConfigError(f"serve.memory_bytes={self.memory_bytes}: must be at least request_bytes={self.request_bytes}")
    if (self.certificate is None) != (self.key is None):
      raise ConfigError("serve.certificate and serve.key belong together: give both or neither")
