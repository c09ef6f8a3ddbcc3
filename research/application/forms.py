"""Bodies of requests: multipart forms and JSON, read from memory. Nothing is written to a file."""

import dataclasses
import json
import logging
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from research.application.refusals import Refusal

_MAX_PARTS = 256
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what a client did wrong, who is told


@dataclasses.dataclass
class Part:
  """One field of a form.

  Attributes:
    name: of the field.
    filename: as the client says; None for a plain field.
    data: its content.
  """

  name: str = ""
  filename: str | None = None
  data: bytes = b""

  def text(self) -> str:
    """The content as text. Raises Refusal if it is not UTF-8."""
    return utf8(self.data, f"field {self.name[:40]!r}")


def utf8(data: bytes, what: str) -> str:
  """Raises Refusal where it is none."""
  try:
    return data.decode()
  except UnicodeDecodeError as error:
    raise Refusal(400, f"{what} is no UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from None


def media_type(content_type: str) -> str:
  """`text/plain` of `text/plain; charset=utf-8`."""
  return content_type.partition(";")[0].strip().lower()


def read_form(content_type: str, body: bytes) -> list[Part]:
  """The parts of a multipart body, in order. Raises Refusal."""
  reader = _Reader()
  boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
  if not 0 < len(boundary) <= 200:
    raise Refusal(400, "the form's Content-Type names no boundary")
  callbacks: Any = {name: getattr(reader, name) for name in dir(reader) if name.startswith("on_")}
  try:
    parser = MultipartParser(boundary, callbacks)
    parser.write(body)
    parser.finalize()
  except FormParserError as error:
    raise Refusal(400, f"the form is damaged: {error}") from None
  if not reader.ended:
    raise Refusal(400, "the form is cut off")
  return reader.parts


class _Reader:
  """What the parser of python-multipart calls as it goes over the body."""

  def __init__(self):
    self.parts: list[Part] = []
    self.ended = False
    self._pieces: list[bytes] = []
    self._field = self._value = b""
    self._headers: dict[bytes, bytes] = {}

  def on_part_begin(self) -> None:
    if len(self.parts) == _MAX_PARTS:
      raise Refusal(413, f"a form of more than {_MAX_PARTS} fields")
    self.parts.append(Part())
    self._pieces, self._headers = [], {}

  def on_header_field(self, data: bytes, start: int, end: int) -> None:
    self._field += data[start:end]

  def on_header_value(self, data: bytes, start: int, end: int) -> None:
    self._value += data[start:end]

  def on_header_end(self) -> None:
    self._headers[self._field.lower()] = self._value
    self._field = self._value = b""

  def on_headers_finished(self) -> None:
    _, options = parse_options_header(self._headers.get(b"content-disposition"))
    if b"name" not in options:
      raise Refusal(400, "a field of the form has no name")
    part = self.parts[-1]
    part.name = options[b"name"].decode(errors="replace")
    part.filename = options[b"filename"].decode(errors="replace") if b"filename" in options else None

  def on_part_data(self, data: bytes, start: int, end: int) -> None:
    self._pieces.append(data[start:end])

  def on_part_end(self) -> None:
    self.parts[-1].data = b"".join(self._pieces)

  def on_end(self) -> None:
    self.ended = True


def read_json(body: bytes) -> dict[str, Any]:
  """A JSON object. Raises Refusal."""
  try:
    data = json.loads(utf8(body, "the body"), parse_constant=_refuse)
  except RecursionError:
    raise Refusal(400, "the body's JSON is nested too deeply") from None
  except ValueError as error:
    raise Refusal(400, f"the body is no JSON: {error}") from None
  if not isinstance(data, dict):
    raise Refusal(400, f"the body must be a JSON object, not {type(data).__name__}")
  return data


def _refuse(word: str) -> None:
  raise ValueError(f"{word} is no JSON")
