"""Windows of audio to texts with times by a Whisper: in which language, whether anybody speaks, and what is said.

Shapes: B windows, S positions of the encoder, D model, P prompt, T tokens of a text.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from research.decoding.base import Requests
from research.decoding.decoder import decode
from research.decoding.settings import AsRequested, Decoding
from research.decoding.whisper import WhisperTokens


class Said(NamedTuple):
  """What is found in windows.

  Attributes:
    tokens_BT: text and times, the end's token, then padding.
    counts_B: how many, the end's counted in.
    log_probabilities_B: mean of the tokens', after constraints.
    no_speech_B: probability that nobody speaks.
    prompts_BP: what was read before.
    languages_B: the place in the vocabulary's languages of the one that is spoken; None where that was said.
  """

  tokens_BT: jax.Array
  counts_B: jax.Array
  log_probabilities_B: jax.Array
  no_speech_B: jax.Array
  prompts_BP: jax.Array
  languages_B: jax.Array | None


def say(model: Any, encoded_BSD: jax.Array, tokens: WhisperTokens, *, prompt: tuple[int, ...], limits_B: jax.Array, limit: int,
        temperatures_B: jax.Array, keys_B: jax.Array) -> Said:
  """Writes down what is said. Pure, to be compiled.

  Args:
    model: a Whisper.
    encoded_BSD: what its encoder made of the windows.
    tokens: its vocabulary.
    prompt: what comes behind the start token: a language, a task. Where a vocabulary has languages and this names none, each
      window is taken to be in the most probable one.
    limits_B: the most tokens of each text; 0 for no text.
    limit: the most of all.
    temperatures_B: of random draws; 0 takes the most probable token each time.
    keys_B: that draws follow from.
  """
  num = encoded_BSD.shape[0]
  row = lambda *ids: jnp.tile(jnp.array(ids, jnp.int32), (num, 1))
  logits_BV, _ = model.step(model.start({"encoded": encoded_BSD}, num, 1), row(tokens.start))
  logits_BV, spoken = logits_BV.astype(jnp.float32), jnp.array([token for _, token in tokens.languages], jnp.int32)
  languages_B, prompts_BP = None, row(tokens.start, *prompt)
  if tokens.languages and not set(prompt) & {token for _, token in tokens.languages}:
    languages_B = jnp.argmax(logits_BV[:, spoken], 1).astype(jnp.int32)
    prompts_BP = jnp.concatenate([row(tokens.start), spoken[languages_B][:, None], row(*prompt)], 1)
  requests = Requests(
      inputs={"encoded": encoded_BSD}, prompts_BP=prompts_BP, lengths_B=jnp.full(num, prompts_BP.shape[1], jnp.int32),
      limits_B=limits_B, keys_B=keys_B, temperatures_B=temperatures_B, top_p_B=jnp.ones(num))
  decoding = Decoding(search=AsRequested(), constraints=tokens.constraints(timestamps=True), max_new_tokens=limit)
  found = decode(model, requests, decoding, tokens.special, limit)
  counts_B = found.lengths_BN[:, 0]
  return Said(found.tokens_BNS[:, 0], counts_B, found.scores_BN[:, 0] / jnp.maximum(counts_B, 1),
              jax.nn.softmax(logits_BV)[:, tokens.no_speech], prompts_BP, languages_B)
