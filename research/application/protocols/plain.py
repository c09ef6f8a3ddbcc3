"""POST /predict: one input or several, as a file, a form or JSON; the answer as the bundle gives it.

    curl --data-binary @seven.png localhost:8000/predict
    curl -F file=@seven.png -F explain=1 localhost:8000/predict/quickstart
    curl --json '{"text": "ein Hund", "options": {"beams": 4}}' localhost:8000/predict
"""

import base64
import binascii
import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from research.application.forms import Part, media_type, read_form, read_json, utf8
from research.application.protocols.replies import Reply, timing
from research.application.refusals import Refusal
from research.application.service import Answer, Service

_FLAGS = {"1": True, "true": True, "0": False, "false": False, "": False}


@dataclasses.dataclass(frozen=True)
class Asked:
  """A request.

  Attributes:
    values: files or texts.
    options: for the bundle.
    explain: whether to say why.
    target: the label that is asked about, or None.
    alone: whether one input was sent as one, so that its answer is not put into a list.
  """

  values: list[bytes | str]
  options: dict[str, Any]
  explain: bool
  target: str | int | None
  alone: bool


async def predict(service: Service, request: Request, body: bytes) -> Response:
  """Answers. Raises Refusal or BadInput."""
  given = request.query_params
  name, bundle = service.bundle(request.path_params.get("model") or given.get("model"))
  arguments = (bundle.spec, request.headers.get("content-type", ""), dict(given), body)
  asked = await service.parse(len(body), _asked, *arguments)
  answers = await service.answers(name, asked.values, asked.options, explain=asked.explain, target=asked.target)
  shown = [_shown(answer) for answer in answers]
  return Reply(shown[0] if asked.alone else {"answers": shown}, headers=timing(answers, request, name))


def _shown(answer: Answer) -> dict:
  more = {"explanation": answer.explanation, "picture": answer.picture}
  return {**answer.value, **{name: value for name, value in more.items() if value is not None}}


def _asked(spec: dict, content_type: str, query: dict[str, str], body: bytes) -> Asked:
  kind, words = media_type(content_type), {k: v for k, v in query.items() if k != "model"}
  if kind == "application/json":
    return _from_json(spec, words, read_json(body))
  if kind == "multipart/form-data":
    return _from_form(spec, words, read_form(content_type, body))
  wanted = spec["inputs"]["type"]
  if kind not in ("", "application/octet-stream", "application/x-www-form-urlencoded") and not kind.startswith(f"{wanted}/"):
    raise Refusal(415, f"{kind[:60]!r}: this model reads {wanted}; send a file, a form or JSON")
  value = utf8(body, "the body") if wanted == "text" else body
  return Asked([value], *_worded(spec, words), alone=True)


def _from_form(spec: dict, words: dict[str, str], parts: list[Part]) -> Asked:
  inputs = [part for part in parts if part.name in ("file", "text")]
  if not inputs:
    raise Refusal(400, "the form has no field file or text")
  words |= {part.name: part.text() for part in parts if part.name not in ("file", "text", "model")}
  values = [part.text() if spec["inputs"]["type"] == "text" else part.data for part in inputs]
  return Asked(values, *_worded(spec, words), alone=len(values) == 1)


def _worded(spec: dict, words: dict[str, str]) -> tuple[dict[str, Any], bool, str | int | None]:
  """Options, explain and target from words."""
  explain = words.pop("explain", "")
  if explain not in _FLAGS:
    raise Refusal(400, f"explain={explain[:20]!r}: must be 1 or 0")
  target = words.pop("target", None)
  return {name: typed(spec, name, word) for name, word in words.items()}, _FLAGS[explain], target


def typed(spec: dict, name: str, word: str) -> Any:
  """A word as the number that the option is; as it is where it is none, which the bundle then says."""
  reader = {"int": int, "float": float}.get(spec["options"].get(name, {}).get("type"), str)
  try:
    return reader(word)
  except ValueError:
    return word


def _from_json(spec: dict, words: dict[str, str], data: dict[str, Any]) -> Asked:
  wanted = "text" if spec["inputs"]["type"] == "text" else "data"
  unknown = sorted(data.keys() - {wanted, "inputs", "options", "explain", "target", "model"})
  if unknown or (wanted in data) == ("inputs" in data):
    raise Refusal(400, f"the JSON must hold {wanted!r} or 'inputs' (a list), and may hold options, explain, target"
                  + (f"; not {unknown[0][:40]!r}" if unknown else ""))
  alone = wanted in data
  values = [data[wanted]] if alone else data["inputs"]
  if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
    raise Refusal(400, f"{wanted if alone else 'inputs'!r} must be " + ("text" if wanted == "text" else "base64 of a file"))
  options, explain, target = data.get("options", {}), data.get("explain", False), data.get("target")
  if not isinstance(options, dict) or not isinstance(explain, bool):
    raise Refusal(400, "options must be an object, explain true or false")
  if isinstance(target, bool) or not isinstance(target, (str, int, type(None))):
    raise Refusal(400, "target must be a label or its number")
  of_query, explain_too, target_too = _worded(spec, words)
  return Asked([value if wanted == "text" else decoded(value) for value in values], of_query | options, explain or explain_too,
               target_too if target is None else target, alone)


def decoded(text: str) -> bytes:
  """Bytes from base64. Raises Refusal."""
  try:
    return base64.b64decode(text, validate=True)
  except (binascii.Error, ValueError):
    raise Refusal(400, "no base64: a file must be sent so within JSON") from None
