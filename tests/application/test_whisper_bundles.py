"""A Whisper in a bundle: windows follow each other as its own times say, and dubious ones are asked for once more."""

import dataclasses
import io
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from etils import epath
from sounds import file, sounds
from tiny_whisper import FOLDER, TOKENS
from trained import FACTS

from research.application import runtime
from research.application.settings import Export
from research.assessment import Assessment
from research.augmentation.audio_features import LogMel
from research.config import ConfigError
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import transcribed
from research.decoding.settings import Decoding
from research.decoding.whisper_windows import say
from research.metrics.speech import ErrorRate
from research.modes.export import export
from research.paper import Paper
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Characters
from research.preprocessing.text.whisper_texts import Fallback, WhisperTexts, segments_of
from research.pretrained.huggingface import model_of
from research.pretrained.weights import Pretrained
from research.tasks.speech_to_text import SpeechToText
from research.tasks.writing import Against, Writing
from research.training.interruption import Interruption
from research.workdir import Run

RATE, WINDOW = 4000, 1280  # 32 frames of 40 samples, .32 s
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL "  # with the padding 40 tokens of text
ONCE = Fallback(temperatures=(0.0,), max_compression=None, min_log_probability=None, max_no_speech=None)


def sound(seconds: float, seed: int) -> np.ndarray:
  rng, num = np.random.default_rng(seed), round(seconds * RATE)
  return 0.3 * rng.normal(size=num) * (1.1 + np.sin(np.arange(num) / 300)) * np.sin(np.arange(num) / 4)


def task(**changes) -> SpeechToText:
  prompt = TOKENS.prompt(language="en")
  writing = Writing(decoding=Decoding(constraints=TOKENS.constraints(timestamps=False), max_new_tokens=20),
                    against=(Against(metric=ErrorRate(unit="character"), reference="text"),))
  return SpeechToText(**{"vocab_size": 68, "start_id": prompt[0], "prompt": prompt[1:], "end_id": TOKENS.end,
                         "pad_id": TOKENS.end, "writing": writing, "vocabulary": TOKENS, **changes})


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
  """The fixture's network, and its bundle."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    source = sounds(tmp_path_factory.mktemp("sounds"), [sound(seconds, i) for i, seconds in enumerate((0.3, 0.2, 0.32))], RATE,
                    [ALPHABET[1:20], ALPHABET[20:], ALPHABET[:9]])
    spoken = transcribed(source, Characters(specials=("<pad>",)), source)
    features = LogMel(rate=RATE, frame_size=100, hop=40, num_mels=8, seconds=0.32)
    experiment = Assessment(
        data=Data(train=None, evaluation={"test": spoken}, batch_size=2, eval_batch_size=2, on_device=(features,),
                  transforms=(DecodeAudio(rate=RATE), Select(names=("inputs", "targets"))),
                  buckets=Buckets(features=("inputs", "targets"), lengths=((WINDOW, 20),))),
        task=task(), model=model_of(FOLDER), pretrained=Pretrained(path=str(FOLDER), names="hf"), targets=(),
        paper=Paper("A test", "Nobody", 2000, "nowhere", "https://example.org"))
    with Interruption() as interruption:
      trained = experiment.trained(0, Run(epath.Path(tmp_path_factory.mktemp("run")), None, interruption))
    bundle = runtime.load(pathlib.Path(export(trained, Export(batch_sizes=(1, 2), num_examples=3), "whisper", FACTS)))
    return trained, bundle


def with_rules(bundle, fallback: Fallback):
  bundle._answer = dataclasses.replace(bundle._answer, fallback=fallback)
  return bundle


def test_a_long_recording_is_what_the_network_itself_says_window_by_window(whisper):
  trained, bundle = whisper
  assert bundle.spec["follows"] and bundle.spec["kind"] == "speech-to-text"
  samples = sound(2.3, 7)
  heard = soundfile.read(io.BytesIO(file(samples, RATE)), dtype="float32")[0]

  @jax.jit
  def listen(params, buffers, batch):
    model = trained.network.bind(params, buffers)
    return say(model, model.encode(trained.network.see(batch)["inputs"]), TOKENS, limits_B=jnp.array([42]), limit=42,
               prompt=TOKENS.prompt(language="en", timestamps=True)[1:], temperatures_B=jnp.zeros(1),
               keys_B=jax.random.split(jax.random.key(0), 1))

  begin, texts, alphabet = 0, [], "\0" + "".join(sorted(ALPHABET))
  while begin < len(samples):
    part = heard[begin:begin + WINDOW]
    window = np.pad(part, (0, WINDOW - len(part)))[None]
    said = jax.device_get(listen(trained.params, trained.buffers, {"inputs": window, "inputs_length": np.array([len(part)])}))
    tokens = said.tokens_BT[0, :said.counts_B[0]]
    segments, frames = segments_of(tokens[tokens != TOKENS.end], TOKENS.first_time, 0, round(len(part) / 40))
    texts += ["".join(alphabet[t] for t in segment.tokens if t < TOKENS.end) for segment in segments]
    begin += min(round(frames * 40), len(part))
  answer, short = with_rules(bundle, ONCE).run([bundle.prepare(file(part, RATE)) for part in (samples, samples[:1000])])
  assert len(texts) > 6 and answer["text"].replace("\0", "") == "".join(texts).strip().replace("\0", "")
  assert short["text"] and short == bundle.run([bundle.prepare(file(samples[:1000], RATE))])[0]
  for answered, seconds in ((answer, 2.3), (short, 0.25)):
    assert "".join(word["word"] for word in answered["words"]) == "".join(answered["text"].split())
    times = [time for word in answered["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= seconds


def test_the_language_is_found_out_where_nobody_says_it(whisper):
  trained, _ = whisper
  asking = dataclasses.replace(trained, task=task(prompt=(TOKENS.transcribe, TOKENS.no_timestamps)))
  bundle = runtime.load(pathlib.Path(export(asking, Export(batch_sizes=(1,), num_examples=3), "whisper", FACTS)))
  answers = with_rules(bundle, ONCE).run([bundle.prepare(file(sound(seconds, 7), RATE)) for seconds in (0.3, 1.0)])
  assert all(answer["language"] in ("en", "de", "fr") and answer["text"] for answer in answers)


def test_what_is_dubious_is_asked_for_at_rising_temperatures(whisper):
  _, bundle = whisper
  prepared = [bundle.prepare(file(sound(0.3, seed), RATE)) for seed in (3, 4)]
  arrays = bundle.arrays(prepared)
  between = float(arrays["log_probability"].mean())
  worse = int(arrays["log_probability"].argmin())
  rules = dataclasses.replace(ONCE, temperatures=(0.0, 0.7, 1.0), min_log_probability=between)
  plain, answers = with_rules(bundle, ONCE).run(prepared), with_rules(bundle, rules).run(prepared)
  assert answers[1 - worse] == plain[1 - worse]
  hot = {bundle.run([prepared[worse]], temperature=t)[0]["text"] for t in (0.7, 1.0)}
  assert answers[worse]["text"] in hot and answers[worse] != plain[worse]
  assert answers == bundle.run(prepared)  # the same draws each time


def test_a_window_where_nobody_speaks_has_no_text(whisper):
  _, bundle = whisper
  rules = dataclasses.replace(ONCE, min_log_probability=0.0, max_no_speech=0.0)
  answers = with_rules(bundle, rules).run([bundle.prepare(file(sound(seconds, 3), RATE)) for seconds in (0.3, 1.0)])
  assert answers == [{"text": "", "words": []}] * 2


def test_tasks_that_do_not_say_what_their_times_are_become_no_application(whisper):
  trained, _ = whisper
  with pytest.raises(ConfigError, match=r"task\.vocabulary=None"):
    export(dataclasses.replace(trained, task=task(vocabulary=None)), Export(), "whisper", FACTS)
  heads = task(vocabulary=dataclasses.replace(TOKENS, alignment_heads=((5, 0),)))
  with pytest.raises(ConfigError, match=r"words cannot be timed: alignment_heads=\(5, 0\)"):
    export(dataclasses.replace(trained, task=heads), Export(), "whisper", FACTS)


def test_words_are_inside_of_their_pieces_and_unfinished_ones_belong_to_the_whole(tmp_path):
  Characters(specials=("<pad>",)).train(["ab c"]).save(tmp_path)  # <pad>, blank, a, b, c are 0 to 4
  words = WhisperTexts(tokenizer=str(tmp_path), end=5, first_time=10)
  said = [10, 2, 3, 20, 20, 1, 4, 30, 30, 1, 2]  # "ab" to .2 s, " c" from .2 to .4 s, then an unfinished " a"
  arrays = {"tokens": np.array([[*said, 5]]), "length": np.array([12]), "begins": np.array([[3, 4, 12, 15, 22, 28, 40, 0]]),
            "log_probability": np.array([-0.1]), "no_speech": np.array([0.0]), "seconds": np.array([1.0])}
  pieces = [{"word": "ab", "start": 0.06, "end": 0.2}, {"word": "c", "start": 0.3, "end": 0.4}]
  assert words(arrays, [{}]) == [{"text": "ab c a", "words": [*pieces, {"word": "a", "start": 0.56, "end": 0.8}]}]
  assert words.following(arrays) == ({"text": "ab c", "words": pieces}, pytest.approx(0.4))
  assert words.together([(0.0, {"text": " ab", "words": pieces[:1]}), (2.5, {"text": " c", "words": pieces[1:]})]) == {
      "text": "ab c", "words": [pieces[0], {"word": "c", "start": 2.8, "end": 2.9}]}
