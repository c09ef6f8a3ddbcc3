"""Windows of a Whisper: nothing is lost or doubled where they meet, and it says what transformers' `generate` says."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx

from research.config import ConfigError
from research.decoding.fallback import Recognizer, Window
from research.decoding.long_form import transcribe
from research.decoding.whisper import whisper_tokens
from research.preprocessing.text.whisper_texts import Fallback, compression, segments_of
from research.pretrained.huggingface import model_of, settings_of, vocab_size_of
from research.pretrained.weights import Pretrained
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "speech"
OUTPUTS = dict(np.load(FIXTURES / "whisper_outputs.npz"))
TOKENS = whisper_tokens(settings_of(FIXTURES / "whisper", "generation_config.json"))
ONCE = Fallback(temperatures=(0.0,), max_compression=None, min_log_probability=None, max_no_speech=None)
SETTINGS = {"alone": ONCE, "conditioned": ONCE,
            "skipping": dataclasses.replace(ONCE, min_log_probability=-0.2, max_no_speech=1e-9)}


@functools.cache
def recognizer():
  """The fixture's network, two windows at a time."""
  folder = FIXTURES / "whisper"
  config, size = model_of(folder), vocab_size_of(folder)
  inputs = (jax.ShapeDtypeStruct((1, 32, 8), "float32"), jax.ShapeDtypeStruct((1, 8), "int32"))
  definition, *abstract = jax.eval_shape(lambda: split(config.build(inputs, size, nnx.Rngs(0))))
  variables = Pretrained(path=str(folder), names="hf").load(None, config, *abstract)[:2]
  return Recognizer(
      lambda variables: merge(definition, *variables), variables, TOKENS, constraints=TOKENS.constraints(timestamps=True),
      fallback=ONCE, to_bytes=lambda tokens: tokens.astype(np.uint8).tobytes(), max_length=48, max_new_tokens=20, batch_size=2)


def with_rules(fallback):
  """The same, compiled as it is."""
  ours = recognizer()
  ours.fallback = fallback
  return ours


def test_languages_and_silence_are_those_of_transformers():
  ours, features = recognizer(), OUTPUTS["features"]
  found = [*ours.languages(features[:2]), *ours.languages(features[2:])]
  codes = dict(TOKENS.languages)
  assert [codes[max(row, key=row.get)] for row in found] == OUTPUTS["languages"].tolist()
  assert all(sum(row.values()) == pytest.approx(1) for row in found)
  said = with_rules(ONCE).say([Window(x, (), TOKENS.prompt(language="en", timestamps=True), (0, 0)) for x in features[:2]])
  np.testing.assert_allclose([one.no_speech for one in said], OUTPUTS["no_speech"][:2], rtol=1e-3)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "skipping" else pytest.mark.heavy)
                                  for name in SETTINGS])
def test_long_recordings_are_those_of_generate(name):
  """Beside another recording, which changes nothing."""
  ours = with_rules(SETTINGS[name])
  recordings = [OUTPUTS["long"], OUTPUTS["long"][:40]]
  found, other = transcribe(ours, recordings, window=32, language="en", conditioned=name != "alone")
  starts, ends, sizes = (OUTPUTS[f"{name}/{part}"] for part in ("starts", "ends", "sizes"))
  theirs = np.split(OUTPUTS[f"{name}/tokens"], np.cumsum(sizes)[:-1])
  assert len(found) == len(theirs) and other
  for segment, tokens in zip(found, theirs):
    # transformers leaves the second of two times at the end of a window in the piece that they end.
    tokens = tokens[:-1] if len(tokens) > 1 and (tokens[-2:] >= TOKENS.first_time).all() else tokens
    assert segment.tokens.tolist() == tokens.tolist()
  np.testing.assert_allclose([segment.start for segment in found], starts, atol=1e-6)
  np.testing.assert_allclose([segment.end for segment in found], ends, atol=1e-6)


def test_a_window_is_said_again_at_rising_temperatures():
  prompt = TOKENS.prompt(language="en", timestamps=True)
  windows = [Window(x, (), prompt, (i, 0)) for i, x in enumerate(OUTPUTS["features"][:2])]
  plain = with_rules(ONCE).say(windows)
  between = (plain[0].log_probability + plain[1].log_probability) / 2
  rules = dataclasses.replace(ONCE, temperatures=(0.0, 0.5, 1.0), min_log_probability=between)
  found = with_rules(rules).say(windows)
  worse = int(plain[1].log_probability < plain[0].log_probability)
  assert found[1 - worse].temperature == 0 and found[1 - worse].tokens.tolist() == plain[1 - worse].tokens.tolist()
  assert found[worse].temperature > 0
  assert found[worse].temperature == 1 or found[worse].log_probability >= between
  again = with_rules(rules).say(windows[::-1])[::-1]  # draws follow from a window's key, not from its place
  assert [one.tokens.tolist() for one in again] == [one.tokens.tolist() for one in found]
  # What repeats itself is said again, too; and what is last is taken as it is.
  repeating = with_rules(dataclasses.replace(rules, min_log_probability=None, max_compression=0.0)).say(windows)
  assert [one.temperature for one in repeating] == [1.0, 1.0] and not repeating[0].silent


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
