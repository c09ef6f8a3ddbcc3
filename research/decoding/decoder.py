"""Decoding of a batch, compiled, and of any number of inputs of unequal lengths.

Shapes: B sentences, L length of an input, P prompt, N hypotheses of a sentence, S new tokens.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.config import ConfigError, UserError
from research.decoding.base import Decodable, Hypotheses, Requests, SpecialTokens
from research.decoding.beam import decode_beam
from research.decoding.settings import Beam, Decoding, Sampling
from research.decoding.single import decode_single


def decode(model: Decodable, requests: Requests, decoding: Decoding, special: SpecialTokens, num_new: int) -> Hypotheses:
  """Decodes a batch; pure, to be compiled.

  What a sentence becomes does not depend on its neighbors. (Products of matrices may round differently in batches of another
  size; where two tokens are as good as equal, that can decide.)

  Args:
    model: what decodes.
    requests: of B sentences.
    decoding: how.
    special: the vocabulary's numbers.
    num_new: S, the most new tokens of any sentence: at least requests.limits_B.
  """
  run = decode_beam if isinstance(decoding.search, Beam) else decode_single
  return run(model, requests, decoding, special, num_new)


def make_decoder(bind: Callable[[Any], Decodable], decoding: Decoding, special: SpecialTokens) -> Callable:
  """Returns a compiled (params, requests, num_new) -> Hypotheses; `bind` makes the model of its parameters."""
  run = lambda params, requests, num_new: decode(bind(params), requests, decoding, special, num_new)
  return jax.jit(run, static_argnums=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
  """Which shapes are compiled.

  Attributes:
    lengths: inputs are padded to the first of these that holds the longest of their batch; rising.
    batch_size: sentences at a time; the last batch of all is filled up with rows that are done before they start.
  """

  lengths: tuple[int, ...] = (32, 64, 128, 256, 512)
  batch_size: int = 32

  def __post_init__(self):
    if not self.lengths or list(self.lengths) != sorted(set(self.lengths)) or self.lengths[0] < 1:
      raise ConfigError(f"lengths={self.lengths}: must be rising numbers from 1 on")
    if self.batch_size < 1:
      raise ConfigError(f"batch_size={self.batch_size}: must be 1 or more")


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """One way to say it.

  Attributes:
    tokens: without the end's.
    score: see the searches' settings.
  """

  tokens: np.ndarray
  score: float


def decode_all(run: Callable, params, decoding: Decoding, special: SpecialTokens, batching: Batching, *,
               inputs: Sequence[np.ndarray] | None = None, prompts: Sequence[Sequence[int]],
               progress: Callable[[int, int], None] = lambda done, total: None) -> list[list[Hypothesis]]:
  """Decodes any number of inputs: the longest first, in batches of like lengths, one program a length.

  Args:
    run: of `make_decoder` for the same `decoding` and `special`.
    params: the model's.
    decoding: how.
    special: the vocabulary's numbers.
    batching: shapes.
    inputs: for an encoder: tokens (L,) or features (L, ...) each; it gets {"inputs": (B, L, ...), "lengths": (B,)}. None for a
      language model, whose prompts are what `batching.lengths` is about.
    prompts: what comes before the first new token: for an encoder-decoder its start token, one for all or one for each input.
    progress: is told how many are done, of how many.

  Returns:
    For each input its hypotheses, in the order of the inputs.

  Raises:
    UserError: an input is longer than all of `batching.lengths`, or a prompt is empty.
  """
  if inputs is not None and len(prompts) == 1:
    prompts = list(prompts) * len(inputs)
  assert inputs is None or len(inputs) == len(prompts), (len(inputs), len(prompts))
  sizes = [len(item) for item in (prompts if inputs is None else inputs)]
  for i, size in enumerate(sizes):
    if size > batching.lengths[-1]:
      raise UserError(f"input {i} has length {size}: batching.lengths={batching.lengths} holds at most {batching.lengths[-1]}")
    if not len(prompts[i]):
      raise UserError(f"prompt {i} is empty: a model needs at least its start token")
  seed = decoding.search.seed if isinstance(decoding.search, Sampling) else 0
  keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(sizes)))
  width = max(map(len, prompts), default=1)
  order = np.argsort([-size for size in sizes], kind="stable")
  found: list[list[Hypothesis]] = [[] for _ in sizes]
  queue: collections.deque = collections.deque()
  num_done = 0

  def fetch():
    nonlocal num_done
    taken, hypotheses = queue.popleft()
    arrays = jax.device_get((hypotheses.tokens_BNS, hypotheses.lengths_BN, hypotheses.scores_BN))
    for i, tokens_NS, lengths_N, scores_N in zip(taken, *arrays):
      found[i] = [_hypothesis(*one, special) for one in zip(tokens_NS, lengths_N, scores_N) if one[1]]
    num_done += len(taken)
    progress(num_done, len(sizes))

  for first in range(0, len(sizes), batching.batch_size):
    taken = order[first:first + batching.batch_size]
    length = next(n for n in batching.lengths if n >= sizes[taken[0]])
    fill = lambda values, shape=(), dtype=np.int32: _stack(values, batching.batch_size, shape, dtype)
    requests = Requests(
        inputs=None if inputs is None else {
            "inputs": fill([inputs[i] for i in taken], (length, *inputs[0].shape[1:]), inputs[0].dtype),
            "lengths": fill([sizes[i] for i in taken])},
        prompts_BP=fill([prompts[i] for i in taken], (length if inputs is None else width,)),
        lengths_B=np.maximum(fill([len(prompts[i]) for i in taken]), 1),
        limits_B=fill([decoding.limit(sizes[i]) for i in taken]),
        keys_B=keys[np.resize(taken, batching.batch_size)])
    queue.append((taken, run(params, requests, decoding.limit(length))))
    if len(queue) > 1:  # the next batch is on its way while one is fetched
      fetch()
  while queue:
    fetch()
  return found


def _stack(values, num_rows, shape, dtype):
  """Values of unequal lengths as one array (num_rows, *shape), filled up with zeros."""
  out = np.zeros((num_rows, *shape), dtype)
  for row, value in zip(out, values) if shape else ():
    row[:len(value)] = value
  if not shape:
    out[:len(values)] = values
  return out


def _hypothesis(tokens_S, length, score, special):
  tokens = tokens_S[:length]
  return Hypothesis(tokens[:-1] if tokens[-1] in special.end else tokens, float(score))
