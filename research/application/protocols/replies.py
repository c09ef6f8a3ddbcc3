"""Responses as JSON, and what went wrong in each protocol's own form."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from research.application.refusals import Refusal
from research.application.service import Answer

_LONGEST = 500  # characters of an error: what was sent may be quoted in it


class Reply(Response):
  """A JSON response. Halves of surrogate pairs, which are no text, become question marks.

  Raises:
    Refusal: 422, a number is infinite or none, which JSON cannot say: what was sent is beyond the network's arithmetic.
  """

  media_type = "application/json"

  def render(self, content: Any) -> bytes:
    try:
      return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
    except ValueError:
      raise Refusal(422, "what the network makes of this input is not a finite number") from None


def timing(answers: Sequence[Answer], request: Request, model: str) -> dict[str, str]:
  """The header Server-Timing, in milliseconds, of the slowest of the answers; also noted for the log."""
  slowest = max(answers, key=lambda answer: answer.prepare + answer.wait + answer.run)
  parts = {"prepare": slowest.prepare, "wait": slowest.wait, "run": slowest.run}
  log = request.state.log
  log |= {"model": model, "inputs": len(answers), "batch": slowest.batch}
  log |= {name: round(1000 * seconds, 2) for name, seconds in parts.items()}
  return {"server-timing": ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in parts.items())
          + f', batch;desc="{slowest.batch}"'}


def refused(request: Request, error: Exception) -> Response:
  """The response to what a request did wrong, in the form that its protocol's clients read."""
  refusal = error if isinstance(error, Refusal) else Refusal(400, str(error))
  message, status = refusal.message[:_LONGEST], refusal.status
  request.state.log["error"] = message
  if request.url.path.startswith("/v1/"):
    kind = "invalid_request_error" if status < 500 else "server_error"
    content: Any = {"error": {"message": message, "type": kind, "param": None, "code": None}}
  else:
    content = {"error": message}
  headers = {"connection": "close"} if refusal.close else {}
  if refusal.retry_after is not None:
    headers["retry-after"] = str(refusal.retry_after)
  return Reply(content, status, headers)
