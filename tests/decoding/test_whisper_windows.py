"""Windows of a Whisper: it says what transformers' `generate` says, and nothing is lost or doubled where windows meet."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_whisper import OUTPUTS, TOKENS, load

from research.config import ConfigError
from research.decoding.whisper import whisper_tokens
from research.decoding.whisper_windows import say
from research.preprocessing.text.whisper_texts import Fallback, compression, segments_of
from research.training.state import merge

ONCE = Fallback(temperatures=(0.0,), max_compression=None, min_log_probability=None, max_no_speech=None)
RULES = {"following": ONCE, "skipping": dataclasses.replace(ONCE, min_log_probability=-0.2, max_no_speech=1e-9)}


@functools.cache
def listener(*prompt):
  """(features (B, F, M), temperatures (B,)) -> what the fixture's network says, at most 20 tokens."""
  _, definition, *variables = load()

  @jax.jit
  def run(variables, features, temperatures):
    model, num = merge(definition, *variables), len(features)
    keys = jax.vmap(jax.random.key)(jnp.arange(num))
    return say(model, model.encode(features), TOKENS, prompt=prompt, limits_B=jnp.full(num, 20), limit=20,
               temperatures_B=temperatures, keys_B=keys)

  return lambda features, temperatures: jax.device_get(run(variables, features, temperatures))


def test_languages_and_silence_are_those_of_transformers():
  found = listener(TOKENS.transcribe)(OUTPUTS["features"], np.zeros(3, np.float32))
  assert [TOKENS.languages[i][1] for i in found.languages_B] == OUTPUTS["languages"].tolist()
  np.testing.assert_array_equal(found.prompts_BP[:, 1], OUTPUTS["languages"])
  np.testing.assert_allclose(found.no_speech_B, OUTPUTS["no_speech"], rtol=1e-3)


@pytest.mark.parametrize("name", RULES)
def test_long_recordings_are_those_of_generate(name):
  run, long, seek, found = listener(*TOKENS.prompt(language="en", timestamps=True)[1:]), OUTPUTS["long"], 0, []
  while seek < len(long):
    part = long[seek:seek + 32]
    said = run(np.pad(part, ((0, 32 - len(part)), (0, 0)))[None], np.zeros(1, np.float32))
    tokens = said.tokens_BT[0, :said.counts_B[0]]
    tokens = tokens[:-1] if tokens[-1] == TOKENS.end else tokens
    if RULES[name].silent(float(said.log_probabilities_B[0]), float(said.no_speech_B[0])):
      seek += len(part)
      continue
    segments, frames = segments_of(tokens, TOKENS.first_time, seek, len(part))
    found += segments
    seek += frames
  starts, ends, sizes = (OUTPUTS[f"{name}/{part}"] for part in ("starts", "ends", "sizes"))
  theirs = np.split(OUTPUTS[f"{name}/tokens"], np.cumsum(sizes)[:-1])
  assert len(found) == len(theirs)
  for segment, tokens in zip(found, theirs):
    # transformers leaves the second of two times at the end of a window in the piece that they end.
    tokens = tokens[:-1] if len(tokens) > 1 and (tokens[-2:] >= TOKENS.first_time).all() else tokens
    assert segment.tokens.tolist() == tokens.tolist()
  np.testing.assert_allclose([segment.start for segment in found], starts, atol=1e-6)
  np.testing.assert_allclose([segment.end for segment in found], ends, atol=1e-6)


def test_a_window_is_said_at_its_own_temperature():
  run = listener(*TOKENS.prompt(language="en", timestamps=True)[1:])
  cold, mixed = (run(OUTPUTS["features"][:2], np.float32(of)) for of in ((0, 0), (0, 1)))
  assert cold.tokens_BT[0].tolist() == mixed.tokens_BT[0].tolist() and cold.tokens_BT[1].tolist() != mixed.tokens_BT[1].tolist()


def test_what_is_asked_once_more():
  rules, good = Fallback(temperatures=(0.0, 0.5, 1.0)), b"all that is well"
  assert rules.next(0.0, good, -0.5, 0.0) is None
  assert rules.next(0.0, good, -1.5, 0.0) == 0.5 and rules.next(0.5, good, -1.5, 0.0) == 1.0
  assert rules.next(1.0, good, -1.5, 0.0) is None  # what is last is taken as it is
  assert rules.next(0.0, b"and so on " * 40, -0.5, 0.0) == 0.5
  assert rules.silent(-1.5, 0.7) and rules.next(0.0, good, -1.5, 0.7) is None
  assert not rules.silent(-0.5, 0.7) and not ONCE.silent(-9.0, 1.0) and ONCE.next(0.0, good, -9.0, 0.0) is None


def test_compression():
  assert compression(b"and so on " * 40) > 10 > 2 > compression(bytes(range(200)))


@pytest.mark.parametrize("wrong", [{"temperatures": (0.4, 0.2)}, {"temperatures": ()}, {"temperatures": (-0.1,)},
                                   {"min_log_probability": None}])
def test_rules_that_cannot_be(wrong):
  with pytest.raises(ConfigError, match=next(iter(wrong)).split("_log")[0]):
    Fallback(**wrong)


def test_prompts():
  assert TOKENS.prompt(language="de", task="translate") == (41, 43, 45, 50)
  with pytest.raises(ConfigError, match="language=xx: must be one of en, de, fr"):
    TOKENS.prompt(language="xx")
  english = whisper_tokens({"eos_token_id": 9, "decoder_start_token_id": 10, "no_timestamps_token_id": 14})
  assert english.prompt() == (10, 14) and english.prompt(timestamps=True) == (10,) and english.no_speech == 13
  with pytest.raises(ConfigError, match="task=translate: must be transcribe"):
    english.prompt(task="translate")
  with pytest.raises(ConfigError, match="no_timestamps_token_id is missing"):
    whisper_tokens({"eos_token_id": 9, "decoder_start_token_id": 10})


@pytest.mark.parametrize("tokens,pieces,frames", [
    # Times are 100 + 0.02 s steps; the window begins at frame 200, 2 s, and has 3,000.
    ([100, 1, 2, 150, 150, 3, 200, 201], [(2, 3, [100, 1, 2, 150]), (3, 4, [150, 3, 200])], 200),
    ([100, 1, 150, 150, 3, 200], [(2, 3, [100, 1, 150]), (3, 4, [150, 3, 200])], 3000),  # silence after 200
    ([100, 1, 150, 150, 3, 4], [(2, 3, [100, 1, 150])], 100),  # 3 and 4 were cut off
    ([110, 1, 2], [(2, 2.2, [110, 1, 2])], 3000),
    ([100, 1, 2, 170], [(2, 3.4, [100, 1, 2, 170])], 3000),
    ([1, 2], [(2, 32, [1, 2])], 3000),
    ([], [(2, 32, [])], 3000),
])
def test_pieces_of_a_window(tokens, pieces, frames):
  found, step = segments_of(np.array(tokens, np.int32), 100, 200, 3000)
  assert [(round(s.start, 6), round(s.end, 6), s.tokens.tolist()) for s in found] == pieces and step == frames
