"""OpenAI's HTTP API: /v1/models, /v1/audio/transcriptions for speech, /v1/completions for language models, streamed too.

What a request asks for that a bundle cannot do is refused by name. The language of a transcription is the model's own: a hint
is not needed, and changes nothing.
"""

import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from research.application.forms import media_type, read_form, read_json
from research.application.limits import audio_seconds
from research.application.protocols.plain import typed
from research.application.protocols.replies import Reply, timing
from research.application.refusals import Refusal
from research.application.runtime import BadInput, Bundle
from research.application.service import Service

_PIECE = 8  # tokens of a streamed completion that are generated at a time
# What clients send by default, and what means "as always".
_NEUTRAL = {"n": (1,), "best_of": (1,), "echo": (False,), "logprobs": (None, 0), "suffix": (None, ""), "logit_bias": (None, {}),
            "presence_penalty": (0, None), "frequency_penalty": (0, None), "top_p": (1, None), "seed": (None,),
            "temperature": (1, None), "user": None, "stream": None, "stream_options": None, "stop": None, "model": None,
            "prompt": None, "max_tokens": (None,)}


async def models(service: Service, request: Request, body: bytes) -> Response:
  """The list of models, or one."""
  if "model" in request.path_params:
    return Reply(_about(service.bundle(request.path_params["model"])[0]))
  return Reply({"object": "list", "data": [_about(name) for name in service.bundles]})


def _about(name: str) -> dict:
  return {"id": name, "object": "model", "created": 0, "owned_by": "fieldwork"}


def _model(service: Service, name: Any, kind: str) -> tuple[str, Bundle]:
  if not isinstance(name, str) or not name:
    raise Refusal(400, f"model must be one of {', '.join(service.bundles)}")
  name, bundle = service.bundle(name)
  if bundle.spec["kind"] != kind:
    raise Refusal(400, f"model {name} does {bundle.spec['kind']}, not {kind}")
  return name, bundle


# --- speech -----------------------------------------------------------------------------------------------------------------


async def transcriptions(service: Service, request: Request, body: bytes) -> Response:
  """The words of a recording. Raises Refusal or BadInput."""
  content_type = request.headers.get("content-type", "")
  if media_type(content_type) != "multipart/form-data":
    raise Refusal(415, "a transcription is asked for by a form: model, file")
  parts = await service.parse(len(body), read_form, content_type, body)
  files = [part.data for part in parts if part.name == "file"]
  words = {part.name: part.text() for part in parts if part.name != "file"}
  if len(files) != 1:
    raise Refusal(400, "the form must have one field file")
  name, bundle = _model(service, words.pop("model", None), "speech-to-text")
  form = words.pop("response_format", "json")
  if form not in ("json", "text", "verbose_json", "srt", "vtt"):
    raise Refusal(400, f"response_format={form[:20]!r}: must be json, text, verbose_json, srt or vtt")
  words = {k: v for k, v in words.items() if k != "language" and not k.startswith("timestamp_granularities")}
  options = {name: typed(bundle.spec, name, words.pop(name)) for name in bundle.spec["options"] if name in words}
  neutral = {"temperature": ("0", "0.0"), "prompt": ("",), "stream": ("false", "False")}
  asked = {key[:40] for key, word in words.items() if word not in neutral.get(key, ())}
  if asked:
    raise Refusal(400, f"{', '.join(sorted(asked))}: model {name} cannot do that")
  answer = await service.answer(name, files[0], options)
  headers, text = timing([answer], request, name), answer.value["text"]
  if form == "json":
    return Reply({"text": text}, headers=headers)
  if form == "text":
    return Response(text + "\n", media_type="text/plain", headers=headers)
  spoken = answer.value.get("words", [])
  if form == "verbose_json":
    return Reply({"task": "transcribe", "language": answer.value.get("language", "unknown"), "text": text, "words": spoken,
                  "duration": round(await service.on_host(audio_seconds, files[0]), 3)}, headers=headers)
  return Response(_subtitles(spoken, form), media_type="text/vtt" if form == "vtt" else "application/x-subrip", headers=headers)


def _subtitles(words: list[dict], form: str, longest: int = 7) -> str:
  """Subtitles of at most so many words each."""
  stamp = lambda s: f"{int(s) // 3600:02}:{int(s) // 60 % 60:02}:{s % 60:06.3f}".replace(".", "," if form == "srt" else ".")
  lines = ["WEBVTT\n"] if form == "vtt" else []
  for number, first in enumerate(range(0, len(words), longest), 1):
    part = words[first:first + longest]
    head = f"{number}\n" if form == "srt" else ""
    lines.append(f"{head}{stamp(part[0]['start'])} --> {stamp(part[-1]['end'])}\n{' '.join(w['word'] for w in part)}\n")
  return "\n".join(lines)


# --- text -------------------------------------------------------------------------------------------------------------------


async def completions(service: Service, request: Request, body: bytes) -> Response:
  """How a text goes on. Raises Refusal or BadInput."""
  data = await service.parse(len(body), read_json, body)
  name, bundle = _model(service, data.get("model"), "text-generation")
  options, stops = _options(bundle, data), _stops(data.get("stop"))
  prompts = data.get("prompt")
  prompts = [prompts] if isinstance(prompts, str) else prompts
  if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
    raise Refusal(400, "prompt must be a text or a list of texts")
  about = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": name}
  if data.get("stream"):
    if len(prompts) != 1:
      raise Refusal(400, "one prompt can be streamed at a time")
    pieces = _pieces(service, name, prompts[0], options, stops)
    first = await anext(pieces)  # before the head is sent: what is refused has its status
    include_usage = (data.get("stream_options") or {}).get("include_usage", False)
    return StreamingResponse(_events(about, first, pieces, include_usage), media_type="text/event-stream",
                             headers={"cache-control": "no-store"})
  answers = await service.answers(name, prompts, options)
  choices, usage = [], {"prompt_tokens": 0, "completion_tokens": 0}
  for index, answer in enumerate(answers):
    text, stopped = _cut(answer.value["text"], stops)
    choices.append({"index": index, "text": text, "logprobs": None,
                    "finish_reason": "stop" if stopped else answer.value["finish_reason"]})
    usage = {key: count + answer.value["usage"][key] for key, count in usage.items()}
  return Reply({**about, "choices": choices, "usage": _total(usage)}, headers=timing(answers, request, name))


def _options(bundle: Bundle, data: dict) -> dict[str, Any]:
  """The bundle's options among a request's fields. Raises Refusal for what it cannot do."""
  options, known = {}, bundle.spec["options"]
  for key, value in data.items():
    if key in known:
      if value is not None:
        options[key] = value
    elif key not in _NEUTRAL:
      raise Refusal(400, f"there is no field {key[:40]!r}")
    elif (neutral := _NEUTRAL[key]) is not None and value not in neutral:
      raise Refusal(400, f"{key}={str(value)[:40]}: this model cannot do that")
  if not isinstance(data.get("stream") or False, bool) or not isinstance(data.get("stream_options") or {}, dict):
    raise Refusal(400, "stream must be true or false, stream_options an object")
  if not isinstance(options.get("max_tokens", 1), int) or not isinstance(options.get("seed", 0), int):
    raise Refusal(400, "max_tokens and seed must be whole numbers")
  return options


def _stops(stop: Any) -> tuple[str, ...]:
  stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else ()
  if (stop is not None and not isinstance(stop, (str, list))) or len(stops) > 4 or not all(
      isinstance(s, str) and s for s in stops):
    raise Refusal(400, "stop must be a text or up to four of them")
  return stops


def _cut(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
  """The text before the first of the stops, and whether there was one."""
  places = [place for stop in stops if (place := text.find(stop)) >= 0]
  return (text[:min(places)], True) if places else (text, False)


def _total(usage: dict[str, int]) -> dict[str, int]:
  return {**usage, "total_tokens": sum(usage.values())}


async def _pieces(service: Service, name: str, prompt: str, options: dict, stops: tuple[str, ...]) -> AsyncIterator[dict]:
  """A completion a few tokens at a time: {"text"}, at the end with "finish_reason" and "usage".

  Each piece is a request of its own that goes on from the text so far: between two of them others have the device, and whoever
  leaves frees it.
  """
  about = service.bundles[name].spec["options"]["max_tokens"]
  left, text, sent, reason = options.get("max_tokens", about["default"]), "", 0, "length"
  held = max(map(len, stops), default=1) - 1  # characters that may be the beginning of a stop
  usage = {"prompt_tokens": 0, "completion_tokens": 0}
  for piece in itertools.count():
    size = min(left, _PIECE)
    now = {**options, "max_tokens": size}
    if "seed" in options:
      now["seed"] = options["seed"] + piece
    value = (await service.answer(name, prompt + text, now)).value
    left -= size
    usage["prompt_tokens"] = usage["prompt_tokens"] or value["usage"]["prompt_tokens"]
    usage["completion_tokens"] += value["usage"]["completion_tokens"]
    ended = value["finish_reason"] == "stop"
    # A character whose bytes are not all there yet is generated again.
    text += value["text"] if ended or not left else value["text"].rstrip("\ufffd")
    text, stopped = _cut(text, stops)
    if ended or stopped or not left:
      reason = "stop" if ended or stopped else "length"
      yield {"text": text[sent:], "finish_reason": reason, "usage": _total(usage)}
      return
    if len(text) - held > sent:
      yield {"text": text[sent:len(text) - held]}
      sent = len(text) - held


async def _events(about: dict, first: dict, pieces: AsyncIterator[dict], include_usage: bool) -> AsyncIterator[bytes]:
  """Server-sent events."""
  event = lambda data: b"data: " + json.dumps(data, ensure_ascii=False).encode(errors="replace") + b"\n\n"
  piece: dict | None = first
  try:
    while piece is not None:
      choice = {"index": 0, "text": piece["text"], "logprobs": None, "finish_reason": piece.get("finish_reason")}
      yield event({**about, "choices": [choice]})
      if include_usage and "usage" in piece:
        yield event({**about, "choices": [], "usage": piece["usage"]})
      piece = await anext(pieces, None)
  except (Refusal, BadInput) as error:  # too late for a status
    yield event({"error": {"message": str(error), "type": "server_error", "param": None, "code": None}})
  yield b"data: [DONE]\n\n"
