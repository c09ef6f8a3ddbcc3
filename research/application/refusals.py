"""What a request is told that gets no answer."""


class Refusal(Exception):
  """One clear line and an HTTP status.

  Attributes:
    status: of the response.
    message: what was wrong, for whoever sent it.
    retry_after: seconds after which to come again, or None.
    close: whether the rest of the request is left unread, so that the connection cannot go on.
  """

  def __init__(self, status: int, message: str, *, retry_after: int | None = None, close: bool = False):
    super().__init__(message)
    self.status, self.message, self.retry_after, self.close = status, message, retry_after, close


def busy(message: str, *, close: bool = False) -> Refusal:
  """503 with Retry-After: right, but not now."""
  return Refusal(503, message, retry_after=1, close=close)


class ClientLeft(Exception):
  """Whoever asked has closed the connection: there is nobody to answer."""
