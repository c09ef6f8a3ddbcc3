"""Public clients, unchanged, against a server on this machine; in an environment of their own:

    pip install "tritonclient[http]" openai
    python tests/application/doubles.py --port=8123 &
    python tests/application/public_clients.py 8123

tritonclient speaks the Open Inference Protocol in JSON and in its binary form; openai is OpenAI's own package.
"""

import io
import math
import struct
import sys
import wave

import numpy as np
import openai
import tritonclient.http as triton


def open_inference(port: int) -> None:
  client = triton.InferenceServerClient(f"127.0.0.1:{port}")
  assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("text-to-text")
  assert client.get_server_metadata()["name"] == "fieldwork"
  about = client.get_model_metadata("text-to-text")
  assert about["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1]}
  texts = np.array([[b"ein kleiner Hund"], ["größer".encode()]], np.object_)
  for binary in (True, False):
    given = triton.InferInput("text", [2, 1], "BYTES")
    given.set_data_from_numpy(texts, binary_data=binary)
    wanted = [triton.InferRequestedOutput("text", binary_data=binary)]
    for outputs in (wanted, None):
      found = client.infer("text-to-text", [given], outputs=outputs, request_id="7").as_numpy("text")
      assert [word.decode() if isinstance(word, bytes) else word for word in found] == ["dnuH renielk nie", "reßörg"]
  given = triton.InferInput("text", [1], "BYTES")
  given.set_data_from_numpy(np.array([b"a text"], np.object_))
  found = client.infer("text-classification", [given])
  assert found.as_numpy("probability").shape == found.as_numpy("label").shape == (1, 3)
  try:
    client.infer("none", [given])
  except triton.InferenceServerException as error:
    assert "there is no model" in error.message()
  else:
    raise AssertionError("a model that is not there answered")
  pending = [client.async_infer("text-to-text", [given]) for _ in range(8)]
  assert all(each.get_result().as_numpy("text")[0] == b"txet a" for each in pending)
  client.close()


def of_openai(port: int) -> None:
  client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
  assert "text-generation" in [model.id for model in client.models.list()]
  assert client.models.retrieve("speech-to-text").id == "speech-to-text"
  whole = client.completions.create(model="text-generation", prompt="the clock", max_tokens=20, temperature=0.5)
  assert whole.usage.total_tokens == 22 and whole.choices[0].finish_reason == "length"
  pieces = list(client.completions.create(model="text-generation", prompt="the clock", max_tokens=20, stream=True,
                                          stream_options={"include_usage": True}))
  assert "".join(choice.text for piece in pieces for choice in piece.choices) == whole.choices[0].text
  assert len(pieces) == 4 and pieces[-1].usage == whole.usage
  file = io.BytesIO()
  with wave.open(file, "wb") as sound:
    sound.setnchannels(1)
    sound.setsampwidth(2)
    sound.setframerate(16_000)
    sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 20))) for i in range(32_000)))
  ask = lambda **more: client.audio.transcriptions.create(model="speech-to-text", file=("a.wav", file.getvalue()), **more)
  assert ask().text == "the quick brown fox jumps over" == ask(response_format="text").strip()
  told = ask(response_format="verbose_json", timestamp_granularities=["word"], language="en")
  assert [word.word for word in told.words] == told.text.split() and told.duration == 2.0
  assert ask(response_format="srt").startswith("1\n00:00:00,000 -->")
  for error, wrong in ((openai.NotFoundError, {"model": "none"}), (openai.BadRequestError, {"n": 3})):
    try:
      client.completions.create(**{"model": "text-generation", "prompt": "a", **wrong})
    except error as found:
      assert found.body["type"] == "invalid_request_error"
    else:
      raise AssertionError(f"{wrong} was answered")


if __name__ == "__main__":
  for check in (open_inference, of_openai):
    check(int(sys.argv[1]))
    print(f"{check.__name__}: every call answered as it should be")
