"""Requests that no friend would send. As a command, against a server on this machine:

    python tests/application/hostile.py PORT NUMBER [SEED]

Each is drawn by its number from a seed, so that one that does harm can be sent again. The models are named by their kinds, as
`doubles.py` serves them.
"""

import asyncio
import collections
import dataclasses
import json
import random
import struct
import sys
import zlib

from doubles import KINDS, picture, recording

_PATHS = ["/predict", *[f"/predict/{kind}" for kind in KINDS], "/v1/completions", "/v1/audio/transcriptions",
          *[f"/v2/models/{kind}/infer" for kind in KINDS]]
_TYPES = ["application/json", "multipart/form-data; boundary=b", "image/png", "audio/wav", "text/plain",
          "application/octet-stream", "multipart/form-data", "application/json; charset=utf-7", "x" * 3000, ""]
_TRICKS = ["/../../etc/passwd", "/page/../server.py", "/page/%2e%2e/%2e%2e/settings.py", "/page/%00",
           "/page/index.html%00.js", "//etc", "/page/..%c0%af..%c0%afserver.py", "/models/%ff%fe/card",
           "/v2/models/../../x/infer", "/predict/%0d%0aX-Bad:%201",
           "/" + "a/" * 3000, "/predict?" + "a=b&" * 2000, "/predict?explain=2", "/predict?model=%ff", "*", "http://elsewhere/predict",
           "/page/style.css?%s%n", "/models/;id/card", "/v1/models/\x7f"]


@dataclasses.dataclass
class Seen:
  """What came of the requests.

  Attributes:
    statuses: how often each; 0 where the connection was closed without one.
    harm: what must not be.
  """

  statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  harm: list[str] = dataclasses.field(default_factory=list)


def png(width: int, height: int, rows: int = 0) -> bytes:
  """A PNG that says it has so many pixels, and has so many black rows."""
  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(
      b"IDAT", zlib.compress(bytes((3 * width + 1) * rows), 9)) + chunk(b"IEND", b"")


_BOMBS = [
    png(60_000, 60_000), png(2**31 - 1, 2**31 - 1), png(20_000, 3_000, 40), png(9000, 9000, 200),
    b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + struct.pack("<HH", 65_535, 65_535),
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
    b"II*\0" + struct.pack("<IH", 8, 2) + struct.pack("<HHIIHHII", 256, 4, 1, 10**9, 257, 4, 1, 10**9),
    b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 65_535, 2**31, 0, 0, 16)
    + b"data" + struct.pack("<I", 2**32 - 1),
    recording(0.1)[:40] + struct.pack("<I", 2**31), b"fLaC\0\0\0\"" + b"\xff" * 34 + b"\xff\xf8" * 50, b"OggS" + b"\xff" * 300,
    b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"\xff\xfb\x90" * 200]
_NO_TEXTS = [b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", "\0\u202e\U0010ffff".encode(), b"a" * 200_000, b" \n\t"]
_NO_JSON = [
    b"[" * 50_000, b'{"a":' * 20_000, b'{"text": ' + b"9" * 10_000 + b"}", b'{"text": 1e999}', b'{"text": "\\ud800"}',
    b'{"inputs": [null]}', b'{"inputs": {}}', b'{"options": [], "text": "a"}', b'{"text": "a", "options": {"max_tokens": -1}}',
    b'{"data": "%s"}' % (b"A" * 1001), b'{"text": "a", "target": 99999999999999999999}', b"\xef\xbb\xbf{}", b"null"]
_HEADERS = [
    "Expect: 100-continue", "A: " + "b" * 70_000, "Transfer-Encoding: gzip", "Content-Length: 3", "X-Request-Id: \x01",
    "Upgrade: websocket\r\nConnection: upgrade", "Authorization: Bearer \xff", "Host: elsewhere", "Content-Encoding: gzip",
    "Range: bytes=0-", *[f"Inference-Header-Content-Length: {length}" for length in (-1, 5, 10**30, "x")]]
_NO_HEADS = [
    b"\r\n" * 50, b"GET /\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500]


def _part(name: bytes, more: bytes, data: bytes) -> bytes:
  return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + data + b"\r\n"


def _form(r: random.Random, noise: bytes) -> bytes:
  parts = (
      _part(b"file", b"", noise), _part(b"text", b"", b"\xff"), _part(b"a", b"", b"b") * 1000, b"--b\r\n\r\n\r\n",
      _part(b"x" * 5000, b"", b""), _part(b"file", b'; filename="../../../tmp/x"', picture()), b"\r\n--b" * 2000,
      _part(b"explain", b"", b"9") + _part(b"text", b"", b"a"), b"--b\r\n" + b"A: b\r\n" * 2000,
      _part(b"model", b"", b"speech-to-text") + _part(b"file", b"", r.choice((b"", noise, recording(0.1)[:100]))))
  return r.choice(parts) + r.choice((b"--b--\r\n", b"", b"--b", b"--b--" + noise))


def _completion(r: random.Random) -> dict:
  data = {
      "model": r.choice((*KINDS, "", 7, None, "\ud800", ["a"])),
      "prompt": r.choice(("a", "", 7, [], ["a"] * 1000, "x" * 9000, {"a": 1})),
      "max_tokens": r.choice((1, 0, -1, 10**30, 1.5, True, None, "9", 256)), "stream": r.choice((True, False, "yes", None, [])),
      "stop": r.choice((None, "", [], ["a"] * 9, 7, "t")), "temperature": r.choice((0, -1, 1e308, None, "hot")),
      "stream_options": r.choice((None, 7, [], {"include_usage": "x"}))}
  return {key: value for key, value in data.items() if r.random() < 0.8}


def _inference(r: random.Random) -> dict:
  tensor = {
      "name": r.choice(("text", "record", 7)), "datatype": r.choice(("BYTES", "FP32", None)),
      "shape": r.choice(([1], [-1], [10**12], [0], [[1]], "x", None, [1, 1])),
      "data": r.choice((["a"], [["a"]], [[[["a"]]]], "a", None, [7])),
      "parameters": r.choice(({}, {"binary_data_size": 10**9}, {"binary_data_size": -1}, [], {"binary_data_size": "1"}))}
  return {"inputs": r.choice(([tensor], [tensor] * 3, tensor, [])), "outputs": r.choice(([], [7], [{"name": "x"}], "a", None)),
          "parameters": r.choice(({}, 7, {"a": 1})), "id": r.choice(("a", 7))}


def _body(r: random.Random) -> tuple[bytes, str]:
  """A body and its type."""
  noise = r.randbytes(r.choice((0, 1, 7, 300, 5000)))
  match r.randrange(12):
    case 0:  # truncated
      whole = r.choice((picture(side=200), picture(form="JPEG", side=200), recording(0.3)))
      return whole[:r.randrange(len(whole))], r.choice(_TYPES)
    case 1:  # a byte or more changed
      whole = bytearray(r.choice((recording(0.3), *[picture(form=form) for form in ("PNG", "JPEG", "GIF", "WEBP")])))
      for _ in range(r.choice((1, 5, 50))):
        whole[r.randrange(len(whole))] = r.randrange(256)
      return bytes(whole), r.choice(_TYPES)
    case 2:
      return r.choice(_BOMBS), r.choice(("image/png", "audio/wav", ""))
    case 3:
      return noise, r.choice(_TYPES)
    case 4:
      return r.choice(_NO_TEXTS), r.choice(_TYPES)
    case 5:
      return r.choice(_NO_JSON), "application/json"
    case 6:
      return json.dumps(_completion(r)).encode(), "application/json"
    case 7:
      return json.dumps(_inference(r)).encode() + noise, "application/json"
    case 8 | 9:
      return _form(r, noise), "multipart/form-data; boundary=b"
    case 10:
      return struct.pack("<I", r.choice((0, 5, 2**32 - 1))) + noise, "application/octet-stream"
  return picture(), "image/png"


def draw(seed: int, number: int) -> tuple[list[bytes], str]:
  """What is sent piece by piece, and how the client behaves: reads, shuts its side, leaves, or is slow."""
  r = random.Random(f"{seed}/{number}")
  body, kind = _body(r)
  way = r.choices(("reads", "shuts", "leaves", "slow"), (12, 1, 2, 1))[0]
  head = [f"POST {r.choice(_PATHS)} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
          *([f"Content-Type: {kind}"] if kind else [])]
  match r.randrange(14):
    case 0:
      head[0] = f"{r.choice(('GET', 'POST', 'HEAD', 'PUT', 'TRACE', 'CONNECT', 'OPTIONS'))} {r.choice(_TRICKS)} HTTP/1.1"
    case 1:
      head[2] = f"Content-Length: {r.choice((10**12, len(body) + 50, 10**40, -1, 'x', ''))}"
    case 2:
      head[2] = "Transfer-Encoding: chunked"
      body = b"%x\r\n" % len(body) + body + r.choice((b"\r\n0\r\n\r\n", b"", b"\r\nzz\r\n", b"\r\n" + b"f" * 40 + b"\r\n"))
    case 3:
      head.append(r.choice(_HEADERS))
    case 4:
      return [r.choice((r.randbytes(200), *_NO_HEADS))], "leaves"
    case 5:
      body *= 2  # more than was announced: the beginning of a next request that is none
  data = "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body
  cut = r.randrange(len(data)) if way in ("leaves", "slow") else len(data)
  return [data[:cut // 2], data[cut // 2:cut]], way


async def attack(port: int, seed: int, numbers: range, *, abreast: int = 32) -> Seen:
  """Sends them, so many at a time."""
  seen, gate = Seen(), asyncio.Semaphore(abreast)

  async def one(number: int) -> None:
    pieces, way = draw(seed, number)
    async with gate:
      try:
        async with asyncio.timeout(60):
          status = await _send(port, pieces, way)
      except TimeoutError:
        seen.harm.append(f"request {number} hung")
        return
      seen.statuses[status] += 1
      if status >= 500 and status != 503:
        seen.harm.append(f"request {number} was answered {status}")

  await asyncio.gather(*map(one, numbers))
  return seen


async def _send(port: int, pieces: list[bytes], way: str) -> int:
  """The status of the answer, 0 if there is none: a server that waits for the rest of a request does nothing wrong."""
  writer = None
  try:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
      writer.write(piece)
      await writer.drain()
      await asyncio.sleep(0.05 if way == "slow" else 0)
    if way == "leaves":
      return 0
    if way == "shuts":
      writer.write_eof()
    async with asyncio.timeout(1):
      line = await reader.readline()
      while line.startswith(b"HTTP/1.1 1"):
        await reader.readline()
        line = await reader.readline()
    return int(line.split()[1]) if line.startswith(b"HTTP/") else 0
  except OSError:  # the server may have closed the connection already
    return 0
  finally:
    if writer is not None:
      writer.close()


if __name__ == "__main__":
  found = asyncio.run(attack(int(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 0, range(int(sys.argv[2]))))
  print(dict(sorted(found.statuses.items())), found.harm[:20])
  sys.exit(bool(found.harm))
