"""LitServe over the network of `serving.py`, which starts this in an environment that has it. Its workers are processes."""

import argparse
import base64
import os

import litserve
from serving import SIZES, Network


class Api(litserve.LitAPI):
  """The network behind LitServe's own batching."""

  def setup(self, device) -> None:
    self.network = Network(int(os.environ["WIDTH"]))

  def decode_request(self, request):
    return self.network.prepare(base64.b64decode(request["data"]))

  def batch(self, inputs):
    return inputs

  def predict(self, inputs):
    return self.network.run(inputs)

  def unbatch(self, outputs):
    return outputs


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--widths")
  parser.add_argument("--port", type=int)
  parser.add_argument("--serve", action="store_true")
  flags = parser.parse_args()
  os.environ["WIDTH"] = flags.widths
  server = litserve.LitServer(Api(max_batch_size=SIZES[-1], batch_timeout=0.002), accelerator="cpu", devices=1, timeout=60,
                              fast_queue=os.environ.get("FAST_QUEUE") == "1")
  server.run(host="127.0.0.1", port=flags.port, generate_client_file=False, log_level="error")
