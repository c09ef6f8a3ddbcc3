"""What the server answers in each protocol, what it refuses and how, and what it keeps to itself."""

import base64
import contextlib
import json
import socket
import struct
import threading
import time

import pytest
from doubles import KINDS, Double, picture, recording
from running import form, running

from research.application import server as server_module
from research.application.settings import Serve
from research.config import ConfigError


@pytest.fixture(scope="module")
def bundles():
  return {kind: Double(kind, limits={"pixels": 10_000, "seconds": 5, "characters": 500, "bytes": 1 << 20}) for kind in KINDS}


@pytest.fixture(scope="module")
def server(bundles):
  with running(bundles, request_bytes=1 << 20, idle_seconds=0.5) as found:
    yield found


# --- the plain protocol ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level,label", [(250, "bright"), (5, "dark")])
@pytest.mark.parametrize("way", ["raw", "untyped", "form", "json"])
def test_a_picture_is_answered_however_it_is_sent(server, way, level, label):
  data = picture(level)
  body, headers = {"raw": (data, {"content-type": "image/png"}), "untyped": (data, {}), "form": form(file=data),
                   "json": (json.dumps({"data": base64.b64encode(data).decode()}).encode(),
                            {"content-type": "application/json"})}[way]
  status, headers, answer = server.ask("/predict", body, headers)
  assert status == 200 and json.loads(answer)["labels"][0]["label"] == label
  assert {"prepare", "wait", "run", "batch"} == {part.partition(";")[0].strip() for part in headers["server-timing"].split(",")}


def test_several_inputs_are_answered_in_order(server):
  body, headers = form(file=[picture(250), picture(5), picture(250)])
  answers = json.loads(server.ask("/predict/image-classification", body, headers)[2])["answers"]
  assert [answer["labels"][0]["label"] for answer in answers] == ["bright", "dark", "bright"]


def test_an_explanation_comes_with_the_picture_that_the_network_saw(server):
  body, headers = form(file=picture(), explain=1, target="grey")
  answer = json.loads(server.ask("/predict", body, headers)[2])
  assert answer["explanation"]["label"] == "grey" and len(answer["explanation"]["map"]) == 32
  assert base64.b64decode(answer["picture"].partition(",")[2]).startswith(b"\x89PNG")


def test_options_are_numbers_in_forms_too(server):
  body, headers = form(text="tick", max_tokens=2)
  assert json.loads(server.ask("/predict/text-generation", body, headers)[2])["text"] == " tock tick"


# --- OpenAI's --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind,expected", [
    ("text", "the quick brown\n"), ("json", '{"text":"the quick brown"}'),
    ("srt", "1\n00:00:00,000 --> 00:00:00,930\nthe quick brown\n"),
    ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:00.930\nthe quick brown\n")])
def test_a_transcription_in_each_format(server, kind, expected):
  body, headers = form(file=recording(1.0), model="speech-to-text", response_format=kind)
  assert server.ask("/v1/audio/transcriptions", body, headers)[2].decode() == expected


def test_a_transcription_takes_the_options_of_its_bundle(server):
  body, headers = form(file=recording(1.0), model="speech-to-text", response_format="text", temperature="0.4")
  assert server.ask("/v1/audio/transcriptions", body, headers)[2].decode() == "the quick brown perhaps\n"


def test_a_streamed_completion_says_what_a_whole_one_says(server):
  asked = {"model": "text-generation", "prompt": "so", "max_tokens": 21}
  whole = server.json("/v1/completions", asked)
  assert whole["choices"][0]["text"] == " tick tock" * 10 + " tick" and whole["usage"]["total_tokens"] == 22
  streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
  text = server.ask("/v1/completions", json.dumps(streamed).encode())[2]
  *events, end = [event.removeprefix("data: ") for event in text.decode().strip().split("\n\n")]
  events = [json.loads(event) for event in events]
  assert end == "[DONE]" and len(events) == 4
  assert "".join(event["choices"][0]["text"] for event in events[:-1]) == whole["choices"][0]["text"]
  assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, "length"]
  assert events[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_ends_before_the_first_stop_even_across_pieces(server, stream):
  asked = {"model": "text-generation", "prompt": "so", "max_tokens": 40, "stop": ["tick tock " * 4 + "tick"]}
  text = server.ask("/v1/completions", json.dumps({**asked, "stream": stream}).encode())[2].decode()
  events = [json.loads(e.removeprefix("data: ")) for e in text.strip().split("\n\n")[:-1]] if stream else [json.loads(text)]
  assert "".join(event["choices"][0]["text"] for event in events) == " "
  assert events[-1]["choices"][0]["finish_reason"] == "stop"


# --- the Open Inference Protocol -------------------------------------------------------------------------------------


def test_health_and_metadata(server):
  assert server.json("/v2/health/live") == {"live": True} and server.json("/v2/health/ready") == {"ready": True}
  about = server.json("/v2/models/image-classification/versions/1")
  assert about["inputs"] == [{"name": "record", "datatype": "BYTES", "shape": [-1]}]
  assert [output["name"] for output in about["outputs"]] == ["label", "probability"]


def test_a_tensor_of_texts(server):
  tensor = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["a b"], ["c"]]}
  answer = server.json("/v2/models/text-to-text/infer", {"id": "7", "inputs": [tensor]})
  assert answer["id"] == "7"
  assert answer["outputs"] == [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["b a", "c"]}]


def test_binary_tensors_both_ways(server):
  tail = b"".join(struct.pack("<I", len(data)) + data for data in (picture(250), picture(5)))
  head = json.dumps({
      "inputs": [{"name": "record", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}],
      "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probability"}]}).encode()
  status, headers, body = server.ask("/v2/models/image-classification/infer", head + tail,
                                     {"inference-header-content-length": str(len(head))})
  length = int(headers["inference-header-content-length"])
  label, probability = json.loads(body[:length])["outputs"]
  assert status == 200 and label["shape"] == [2, 3] and label["parameters"]["binary_data_size"] == len(body) - length
  assert body[length:length + 10] == struct.pack("<I", 6) + b"bright" and len(probability["data"]) == 6


# --- what is refused -------------------------------------------------------------------------------------------------


def bomb() -> bytes:
  """A PNG of kilobytes whose header says 60,000 x 60,000."""
  data = bytearray(picture())
  data[16:24] = struct.pack(">II", 60_000, 60_000)
  return bytes(data)


TENSOR = "/v2/models/text-to-text/infer"
AS_JSON = {"content-type": "application/json"}
REFUSED = {
    "no image": ("/predict", b"hello", {}, 400, "cannot identify"),
    "a cut-off image": ("/predict", picture(side=90)[:60], {}, 400, ""),
    "a bomb": ("/predict", bomb(), {}, 413, "60000 x 60000 pixels: at most 10000"),
    "a large body": ("/predict", bytes(1 << 21), {}, 413, "a body of more than 1048576 bytes"),
    "a long recording": ("/predict/audio-classification", recording(6), {}, 413, "6 s of audio: at most 5"),
    "what makes no number": ("/predict/audio-classification", recording(0), {}, 422, "not a finite number"),
    "a long text": ("/predict/text-to-text", b"a" * 501, {}, 413, "501 characters: at most 500"),
    "bad UTF-8": ("/predict/text-to-text", b"abc\xff", {}, 400, "byte 3 is 0xff"),
    "half a pair": ("/predict/text-to-text", b'{"text": "\\ud800"}', AS_JSON, 400, "half of a pair"),
    "a wrong type": ("/predict", b"x", {"content-type": "video/mp4"}, 415, "'video/mp4': this model reads image"),
    "no JSON": ("/predict", b"{", AS_JSON, 400, "no JSON"),
    "deep JSON": ("/predict", b"[" * 100_000, AS_JSON, 400, "nested too deeply"),
    "NaN": ("/predict", b'{"text": NaN}', AS_JSON, 400, "NaN is no JSON"),
    "a list": ("/predict", b"[]", AS_JSON, 400, "must be a JSON object, not list"),
    "no base64": ("/predict", b'{"data": "?"}', AS_JSON, 400, "no base64"),
    "a form without boundary": ("/predict", b"x", {"content-type": "multipart/form-data"}, 400, "names no boundary"),
    "a cut-off form": ("/predict", form(file=b"x" * 99)[0][:120], form(file=b"")[1], 400, "the form is"),
    "no such model": ("/predict/none", b"x", {}, 404, "there is no model 'none'"),
    "a path": ("/predict/..%2f..%2fetc%2fpasswd", b"x", {}, 404, ""),
    "no such option": ("/predict/text-to-text?beams=9", b"x", {}, 400, "there is no option 'beams'"),
    "a translator asked to go on": ("/v1/completions", b'{"model": "text-to-text", "prompt": "x"}', {}, 400,
                                    "does text-to-text, not text-generation"),
    "an unknown field": ("/v1/completions", b'{"model": "text-generation", "prompt": "x", "best": 2}', {}, 400,
                         "no field 'best'"),
    "several choices": ("/v1/completions", b'{"model": "text-generation", "prompt": "x", "n": 2}', {}, 400, "n=2"),
    "a tensor of floats": (TENSOR, b'{"inputs": [{"name": "text", "shape": [1], "datatype": "FP32", "data": [1]}]}', {}, 400,
                           "must be BYTES"),
    "a false shape": (TENSOR, b'{"inputs": [{"name": "text", "shape": [3], "datatype": "BYTES", "data": ["a"]}]}', {}, 400,
                      "but 1 elements"),
    "a false length": (TENSOR, b"{}", {"inference-header-content-length": "99"}, 400, "must be the length"),
    "no such version": ("/v2/models/text-to-text/versions/2/infer", b"{}", {}, 404, "no version '2'"),
}


@pytest.mark.parametrize("path,body,headers,status,says", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_refused_in_one_line(server, path, body, headers, status, says):
  found, _, text = server.ask(path, body, headers)
  error = json.loads(text)["error"]
  message = error["message"] if path.startswith("/v1/") else error
  assert found == status and says in message and "\n" not in message and len(message) <= 500


@pytest.mark.parametrize("path", ["/page/../settings.py", "/page/%2e%2e%2fserver.py", "/page/files.py", "/page//etc/passwd",
                                  "/page/..%5cserver.py", "/models/../metrics", "//", "/predict/"])
def test_no_path_leads_to_a_file(server, path):
  status, _, body = server.ask(path)
  assert status in (404, 405) and b"import" not in body


# --- around every request --------------------------------------------------------------------------------------------


def test_each_request_has_an_id_a_line_and_safe_headers(server):
  _, headers, _ = server.ask("/v2/health/live", headers={"x-request-id": "mine-1"})
  assert headers["x-request-id"] == "mine-1" and "script-src 'self'" in headers["content-security-policy"]
  assert "unsafe" not in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
  _, headers, _ = server.ask("/predict", b"hello\n", {"x-request-id": "two words"})
  assert headers["x-request-id"] != server.ask("/v2/health/live")[1]["x-request-id"] != "two words"
  while not (line := [line for line in server.lines if line["id"] == headers["x-request-id"]]):
    time.sleep(0.001)
  assert line[0]["status"] == 400 and line[0]["route"] == "/predict" and "cannot identify" in line[0]["error"]


def test_metrics_count_by_route_not_by_path(server):
  server.ask("/somewhere/else/entirely")
  text = server.ask("/metrics")[2].decode()
  assert 'fieldwork_requests_total{route="other",status="404"}' in text and "entirely" not in text
  assert "fieldwork_inputs_in_progress 0.0" in text and "fieldwork_body_bytes 0.0" in text


def test_another_sites_page_is_refused(server):
  assert server.ask("/predict", picture(), {"sec-fetch-site": "cross-site"})[0] == 403
  assert server.ask("/predict", picture(), {"sec-fetch-site": "same-origin"})[0] == 200


@pytest.mark.parametrize("part", [
    b"", b"POST /predict HT", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc"],
    ids=["says nothing", "half a head", "half a body"])
def test_a_slow_client_is_let_go(server, part):
  with socket.create_connection(("127.0.0.1", server.port)) as connection:
    connection.sendall(part)
    connection.settimeout(5)
    begin, data = time.monotonic(), b""
    with contextlib.suppress(ConnectionResetError):
      while piece := connection.recv(4096):
        data += piece
    assert time.monotonic() - begin < 3 and (b"408" in data if part.endswith(b"abc") else data == b"")


def test_a_token_guards_all_but_health_and_the_page(tmp_path):
  (tmp_path / "token").write_text("0123456789abcdef0123\n")
  with running({"text-to-text": Double("text-to-text")}, token_file=str(tmp_path / "token")) as server:
    assert server.ask("/v2/health/ready")[0] == server.ask("/")[0] == server.ask("/page/main.js")[0] == 200
    for path in ("/models", "/metrics", "/v1/models"):
      assert server.ask(path)[0] == server.ask(path, headers={"authorization": "Bearer wrong"})[0] == 401
      assert server.ask(path, headers={"authorization": "Bearer 0123456789abcdef0123"})[0] == 200


# --- full, late, left ------------------------------------------------------------------------------------------------


def until(condition, seconds=5.0):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.002)


def test_a_full_queue_says_when_to_come_again_and_who_leaves_makes_room():
  double = Double("text-to-text", sizes=(1,))
  with running({"text-to-text": double}, queue=2) as server:
    double.released.clear()
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    for each in sockets:
      each.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na b")
    until(lambda: server.service._inside == 2 and double.batches == [1])  # one is on the device, the other waits
    status, headers, _ = server.ask("/predict", b"c")
    assert status == 503 and headers["retry-after"] == "1"
    for each in sockets:
      each.close()
    until(lambda: server.service._inside == 0)
    double.released.set()
    assert server.ask("/predict", b"c")[0] == 200
    until(lambda: [line["status"] for line in server.lines].count(499) == 2)
    assert sum(double.batches) == 2  # and was never computed


def test_an_answer_that_takes_too_long_is_given_up():
  double = Double("text-to-text")
  with running({"text-to-text": double}, answer_seconds=0.2) as server:
    double.released.clear()
    assert server.ask("/predict", b"a")[0] == 503
    double.released.set()


def test_bodies_together_have_a_limit():
  with running({"text-to-text": Double("text-to-text")}, request_bytes=2000, memory_bytes=3000) as server:
    with contextlib.ExitStack() as stack:
      for _ in range(2):
        holder = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        holder.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1500\r\n\r\n" + b"a" * 1400)
      until(lambda: server.service.metrics.held.collect()[0].samples[0].value == 2800)
      assert server.ask("/predict", b"a" * 300)[0] == 503
    until(lambda: server.service.metrics.held.collect()[0].samples[0].value == 0)
    assert server.ask("/predict", b"a" * 300)[0] == 200


def test_the_end_answers_what_was_accepted():
  double = Double("text-to-text", seconds=0.01)
  results, ended = [], threading.Event()
  with running({"text-to-text": double}) as server:
    def client(number):
      while not ended.is_set():
        try:
          connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        except ConnectionRefusedError:
          return
        with connection:
          try:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\na b")
            data = b""
            while piece := connection.recv(4096):
              data += piece
            results.append(data[:15])
          except OSError as error:
            results.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
      thread.start()
    until(lambda: len(results) > 30)
    server.stop()
    until(lambda: server.service.draining)
    assert server.ask("/v2/health/ready")[0] == 503
    server.wait()
    ended.set()
    for thread in threads:
      thread.join()
  assert len(results) > 40 and set(results) == {b"HTTP/1.1 200 OK"}


# --- what a user gets wrong ------------------------------------------------------------------------------------------


def test_settings_that_cannot_be_are_refused(tmp_path):
  for wrong in ({"port": 70_000}, {"queue": 0}, {"certificate": "a.pem"}, {"memory_bytes": 1}):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
      Serve(**wrong)
  (tmp_path / "short").write_text("abc")
  for path in ("short", "none"):
    with pytest.raises(ConfigError, match=path):
      server_module._token(Serve(token_file=str(tmp_path / path)))
  with pytest.raises(ConfigError, match="no bundle"):
    server_module.load_all([tmp_path])
  with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="Address already in use"):
    server_module.serve({"a": Double("text-to-text")}, Serve(port=taken.getsockname()[1]), lambda: True)
