"""The Open Inference Protocol, version 2, over HTTP, with Triton's extension for binary tensors.

A model has one input, BYTES of shape [n] or [n, 1]: files or texts; within JSON a file is base64. Every field of the answers
becomes an output: texts BYTES [n], numbers FP64 or INT64 [n]; `labels` becomes `label` and `probability` [n, k], the most
probable first; words are JSON within BYTES [n]. The bundle's options are parameters of the request.
"""

import json
import struct
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from research.application.forms import read_json, utf8
from research.application.protocols.plain import decoded
from research.application.protocols.replies import Reply, timing
from research.application.refusals import Refusal
from research.application.runtime import Bundle
from research.application.service import Service

VERSION = "1"
_LENGTH = "inference-header-content-length"
# What each kind of bundle answers: name, type, dims after the first.
_OUTPUTS = {
    "speech-to-text": (("text", "BYTES", ()), ("words", "BYTES", ())),
    "text-to-text": (("text", "BYTES", ()),),
    "text-generation": (("text", "BYTES", ()), ("finish_reason", "BYTES", ())),
}
_CLASSES = (("label", "BYTES", (-1,)), ("probability", "FP64", (-1,)))


def outputs(kind: str) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
  """Name, type and dims after the first of what a kind of bundle answers."""
  return _OUTPUTS.get(kind, _CLASSES)


async def about_server(service: Service, request: Request, body: bytes) -> Response:
  """Metadata of the server."""
  return Reply({"name": "fieldwork", "version": VERSION, "extensions": ["binary_tensor_data"]})


async def about_model(service: Service, request: Request, body: bytes) -> Response:
  """Metadata of a model."""
  name, bundle = _model(service, request)
  return Reply({
      "name": name, "versions": [VERSION], "platform": "fieldwork_stablehlo",
      "inputs": [{"name": bundle.spec["inputs"]["field"], "datatype": "BYTES", "shape": [-1]}],
      "outputs": [{"name": output, "datatype": datatype, "shape": [-1, *dims]}
                  for output, datatype, dims in outputs(bundle.spec["kind"])]})


async def live(service: Service, request: Request, body: bytes) -> Response:
  """Whether the process is there."""
  return Reply({"live": True})


async def ready(service: Service, request: Request, body: bytes) -> Response:
  """Whether to send requests here: not while it ends. The models are compiled before the server listens."""
  if "model" in request.path_params:
    _model(service, request)
  return Reply({"ready": not service.draining}, 503 if service.draining else 200)


async def infer(service: Service, request: Request, body: bytes) -> Response:
  """Answers. Raises Refusal or BadInput."""
  name, bundle = _model(service, request)
  head, values = await service.parse(len(body), _read, bundle, request.headers.get(_LENGTH), body)
  options = {k: v for k, v in head.get("parameters", {}).items() if k != "binary_data_output"}
  answers = await service.answers(name, values, options)
  columns = {output: _column(output, datatype, [answer.value for answer in answers])
             for output, datatype, _ in outputs(bundle.spec["kind"])}
  content, tail = _written(head, columns, {output: datatype for output, datatype, _ in outputs(bundle.spec["kind"])})
  content = {"model_name": name, "model_version": VERSION, **({"id": head["id"]} if head.get("id") else {}), "outputs": content}
  headers = timing(answers, request, name)
  if not tail:
    return Reply(content, headers=headers)
  text = Reply(content).body
  return Response(bytes(text) + tail, media_type="application/octet-stream", headers={**headers, _LENGTH: str(len(text))})


def _model(service: Service, request: Request) -> tuple[str, Bundle]:
  version = request.path_params.get("version", VERSION)
  if version != VERSION:
    raise Refusal(404, f"there is no version {version[:20]!r}, only {VERSION}")
  return service.bundle(request.path_params["model"])


def _read(bundle: Bundle, length: str | None, body: bytes) -> tuple[dict[str, Any], list[bytes | str]]:
  """The request's JSON, checked, and its inputs."""
  end = len(body)
  if length is not None:
    if not (length.isdecimal() and len(length) < 12 and int(length) <= len(body)):
      raise Refusal(400, f"{_LENGTH}={length[:20]!r}: must be the length of the JSON that the body begins with")
    end = int(length)
  head, tail = read_json(body[:end]), body[end:]
  parameters, wanted = head.get("parameters", {}), head.get("outputs", [])
  if not isinstance(parameters, dict) or not isinstance(head.get("id", ""), str):
    raise Refusal(400, "parameters must be an object, id a text")
  if not isinstance(wanted, list) or not all(
      isinstance(output, dict) and isinstance(output.get("parameters", {}), dict) for output in wanted):
    raise Refusal(400, "outputs must be a list of objects")
  known = [output for output, _, _ in outputs(bundle.spec["kind"])]
  for output in wanted:
    if output.get("name") not in known:
      raise Refusal(400, f"there is no output {str(output.get('name'))[:40]!r}; there are {', '.join(known)}")
  field = bundle.spec["inputs"]["field"]
  inputs = head.get("inputs")
  if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict) or inputs[0].get("name") != field:
    raise Refusal(400, f"inputs must be a list of one tensor, named {field!r}")
  return head, _tensor(inputs[0], tail, bundle.spec["inputs"]["type"] == "text")


def _tensor(tensor: dict, tail: bytes, is_text: bool) -> list[bytes | str]:
  shape, field = tensor.get("shape"), tensor["name"]
  if tensor.get("datatype") != "BYTES":
    raise Refusal(400, f"{field}: datatype must be BYTES, not {str(tensor.get('datatype'))[:20]!r}")
  if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape) or not (
      len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
    raise Refusal(400, f"{field}: shape must be [n] or [n, 1]")
  parameters = tensor.get("parameters", {})
  size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
  if size is not None:
    if size != len(tail):
      raise Refusal(400, f"{field}: binary_data_size={str(size)[:20]}, but {len(tail)} bytes follow the JSON")
    values = [utf8(value, field) if is_text else value for value in _elements(tail)]
  else:
    data = tensor.get("data")
    data = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data] if isinstance(data, list) else []
    if not all(isinstance(value, str) for value in data):
      raise Refusal(400, f"{field}: data must be " + ("texts" if is_text else "files as base64"))
    values = [value if is_text else decoded(value) for value in data]
  if len(values) != shape[0]:
    raise Refusal(400, f"{field}: shape {shape} but {len(values)} elements")
  return values


def _elements(data: bytes) -> list[bytes]:
  """The elements of a binary BYTES tensor: each has its length in front, four bytes, little-endian."""
  values, at = [], 0
  while at < len(data):
    length = struct.unpack_from("<I", data, at)[0] if at + 4 <= len(data) else len(data)
    if at + 4 + length > len(data):
      raise Refusal(400, "the binary data end within an element")
    values.append(data[at + 4:at + 4 + length])
    at += 4 + length
  return values


def _column(output: str, datatype: str, answers: list[dict]) -> list:
  """An output's values, a row for each answer."""
  if output in ("label", "probability"):
    return [[entry[output] for entry in answer["labels"]] for answer in answers]
  values = [answer[output] for answer in answers]
  return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]


def _written(head: dict, columns: dict[str, list], datatypes: dict[str, str]) -> tuple[list[dict], bytes]:
  """The outputs that were asked for, as JSON and as the bytes behind it."""
  wanted = {output["name"]: output.get("parameters", {}) for output in head.get("outputs") or []} or {n: {} for n in columns}
  written, tail = [], b""
  for name, parameters in wanted.items():
    rows = columns[name]
    shape = [len(rows), *([len(rows[0])] if isinstance(rows[0], list) else [])]
    flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
    about: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": shape}
    if parameters.get("binary_data", head.get("parameters", {}).get("binary_data_output", False)):
      data = _binary(flat, datatypes[name])
      written.append({**about, "parameters": {"binary_data_size": len(data)}})
      tail += data
    else:
      written.append({**about, "data": flat})
  return written, tail


def _binary(values: list, datatype: str) -> bytes:
  if datatype == "FP64":
    return np.asarray(values, "<f8").tobytes()
  encoded = [value.encode(errors="replace") for value in values]
  return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
