"""Windows of audio to texts by a Whisper, at rising temperatures until a text is neither repetitive nor improbable.

Radford et al. 2022, section 4.5. Two programs are compiled: one listens (the encoder, and what comes after the start token),
one speaks, at any temperature. Shapes: B windows, F frames, M mel filters, S positions of the encoder, D model, P prompt, L
languages, V vocabulary.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.decoding.base import Requests
from research.decoding.constraints import Constraints
from research.decoding.decoder import make_decoder
from research.decoding.settings import AsRequested, Decoding
from research.decoding.whisper import WhisperTokens
from research.preprocessing.text.whisper_texts import Fallback


@dataclasses.dataclass(frozen=True)
class Window:
  """What is asked of one window.

  Attributes:
    features_FM: its spectrum.
    before: tokens that come before the start: WhisperTokens.previous and the text before, or none.
    prompt: from the start token on.
    key: two numbers that random draws follow from.
  """

  features_FM: np.ndarray
  before: tuple[int, ...]
  prompt: tuple[int, ...]
  key: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Said:
  """What was found in it.

  Attributes:
    tokens: text, and times where they were asked for; without the end.
    log_probability: mean of the tokens', the end's included, after constraints.
    no_speech: probability that nobody speaks.
    temperature: at which this was drawn.
    silent: it is no text, by the rule of `Fallback.max_no_speech`.
  """

  tokens: np.ndarray
  log_probability: float
  no_speech: float
  temperature: float
  silent: bool


class Recognizer:
  """A Whisper that is asked for windows; see `say`.

  Args:
    bind: makes the model (research.models.whisper.Whisper) of its parameters.
    params: its parameters.
    tokens: its vocabulary.
    constraints: what may not be said.
    fallback: when to decode again.
    to_bytes: makes what zlib compresses of a text's tokens: the text itself, for Whisper's own rule.
    max_length: the decoder's positions, prompts included.
    max_new_tokens: the most of a window.
    batch_size: B.
  """

  def __init__(self, bind: Callable[[Any], Any], params: Any, tokens: WhisperTokens, *, constraints: Constraints,
               fallback: Fallback, to_bytes: Callable[[np.ndarray], bytes], max_length: int = 448, max_new_tokens: int = 224,
               batch_size: int = 8):
    self.params, self.tokens, self.fallback, self.batch_size = params, tokens, fallback, batch_size
    self.max_length, self.max_new_tokens = max_length, max_new_tokens
    self.max_before = max_length // 2 - 1  # tokens of text before, as with OpenAI
    self._to_bytes = to_bytes
    decoding = Decoding(search=AsRequested(), constraints=constraints, max_new_tokens=max_new_tokens)
    self._speak = make_decoder(bind, decoding, tokens.special)
    languages = jnp.array([token for _, token in tokens.languages], jnp.int32)

    def listen(params, features_BFM, prompts_BP, lengths_B):
      model = bind(params)
      encoded_BSD = model.encode(features_BFM)
      state = model.start({"encoded": encoded_BSD}, *prompts_BP.shape)
      logits_BV = model.step(state, prompts_BP, lengths_B)[0].astype(jnp.float32)
      return encoded_BSD, jax.nn.softmax(logits_BV[:, languages]), jax.nn.softmax(logits_BV)[:, tokens.no_speech]

    self._listen = jax.jit(listen)

  def languages(self, windows: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """How probable each language is in each of at most B windows (F, M), given that it is one of them."""
    start = [Window(features, (), (self.tokens.start,), (0, 0)) for features in windows]
    _, found_BL, _ = self._heard(start)
    return [dict(zip((code for code, _ in self.tokens.languages), row.tolist())) for row in found_BL[:len(windows)]]

  def say(self, windows: Sequence[Window]) -> list[Said]:
    """The text of each of at most B windows."""
    encoded_BSD, _, no_speech_B = self._heard(windows)
    said: list[Said | None] = [None] * len(windows)
    for k, temperature in enumerate(self.fallback.temperatures):
      open_rows = [i for i, found in enumerate(said) if found is None]
      found = self._decoded(windows, encoded_BSD, open_rows, temperature, k)
      for i in open_rows:
        tokens, mean = found[i]
        no_speech = float(no_speech_B[i])
        if self.fallback.next(temperature, self._to_bytes(tokens), mean, no_speech) is None:
          said[i] = Said(tokens, mean, no_speech, temperature, self.fallback.silent(mean, no_speech))
      if None not in said:
        break
    return [found for found in said if found is not None]

  def _heard(self, windows):
    prompts = [(*window.before, self.tokens.start) for window in windows]
    features_BFM = np.zeros((self.batch_size, *windows[0].features_FM.shape), np.float32)
    for row, window in zip(features_BFM, windows, strict=False):
      row[:] = window.features_FM
    encoded_BSD, languages_BL, no_speech_B = self._listen(self.params, features_BFM, *self._padded(prompts, windows))
    return encoded_BSD, np.asarray(languages_BL), np.asarray(no_speech_B)

  def _decoded(self, windows, encoded_BSD, rows, temperature, k):
    """Tokens and mean log-probability of each row that is asked for."""
    prompts = [(*window.before, *window.prompt) for window in windows]
    padded_BP, lengths_B = self._padded(prompts, windows)
    limits_B, keys = np.zeros(self.batch_size, np.int32), np.zeros((self.batch_size, 3), np.uint32)
    for i in rows:
      limits_B[i] = min(self.max_new_tokens, self.max_length - len(prompts[i]))
      keys[i] = (*windows[i].key, k)
    requests = Requests(
        inputs={"encoded": encoded_BSD}, prompts_BP=jnp.asarray(padded_BP), lengths_B=jnp.asarray(lengths_B),
        limits_B=jnp.asarray(limits_B), keys_B=_keys(keys), temperatures_B=jnp.full(self.batch_size, temperature, jnp.float32),
        top_p_B=jnp.ones(self.batch_size))
    found = jax.device_get(self._speak(self.params, requests, self.max_new_tokens))
    texts = {}
    for i in rows:
      num = int(found.lengths_BN[i, 0])
      tokens = found.tokens_BNS[i, 0, :num]
      ended = num > 0 and tokens[-1] == self.tokens.end
      texts[i] = tokens[:-1] if ended else tokens, float(found.scores_BN[i, 0]) / max(num, 1)
    return texts

  def _padded(self, prompts, windows):
    """Prompts (B, P) and their lengths. There are two P, with a text before and without."""
    width = max(map(len, prompts))
    if any(window.before for window in windows):
      width = max(len(prompt) - len(window.before) for prompt, window in zip(prompts, windows)) + self.max_before + 1
    padded_BP, lengths_B = np.full((self.batch_size, width), self.tokens.start, np.int32), np.ones(self.batch_size, np.int32)
    for i, prompt in enumerate(prompts):
      padded_BP[i, :len(prompt)], lengths_B[i] = prompt, len(prompt)
    return padded_BP, lengths_B


@jax.jit
def _keys(numbers_B3):
  folded = lambda numbers: jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), numbers[0]), numbers[1]),
                                              numbers[2])
  return jax.vmap(folded)(numbers_B3)
