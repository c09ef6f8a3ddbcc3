"""Whisper tiny.en on LibriSpeech's test sets. NOT RUN: it needs LibriSpeech and OpenAI's weights.

Radford et al. 2022: 5.6 % word errors on test-clean, 14.6 % on test-other, greedy, in Whisper's own English normalisation.

  python launch.py --experiment=librispeech_whisper_tiny_en --data_dir=DATA

DATA holds LibriSpeech/test-clean and test-other as they unpack, and weights/whisper-tiny.en, the folder as Hugging Face has it.
3 hours on 2 CPU cores, minutes on a GPU. --mode=export makes an application of it, for recordings of any length.
"""

from research.assessment import Assessment
from research.augmentation.audio_features import LogMel
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.sources import Source
from research.data.speech import LibriSpeech
from research.data.tokenized import Tokenized, Tokens
from research.data.vocabulary import Stored
from research.decoding.settings import Decoding
from research.decoding.whisper import ENGLISH, english
from research.metrics.speech import ErrorRate
from research.models import whisper
from research.paper import Paper, Target, within
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.pretrained.weights import Pretrained
from research.tasks.speech_to_text import SpeechToText
from research.tasks.writing import Against, Writing

DECODING = Decoding(constraints=ENGLISH.constraints(timestamps=False), max_new_tokens=224)
RATE = ErrorRate(normalizer="english")
SIGNATURE = f"{RATE.metrics['wer'].signature}|{DECODING.signature}"
PAPER = Paper("Robust speech recognition via large-scale weak supervision", "Radford, Kim, Xu, Brockman, McLeavey, Sutskever",
              2022, "ICML 2023", "https://arxiv.org/abs/2212.04356")


def assess(splits: dict[str, Source], model: whisper.Config, folder: str, targets: tuple[Target, ...]) -> Assessment:
  tokens = lambda source: Tokenized(source=source, keep=("record",), features=(
      Tokens(name="targets", text="text", tokenizer=Stored(path=folder), eos=True, max_length=440),))
  return Assessment(
      data=Data(train=None, evaluation={name: tokens(source) for name, source in splits.items()}, batch_size=8,
                eval_batch_size=8, transforms=(DecodeAudio(dtype="int16"), Select(names=("inputs", "targets"))),
                on_device=(LogMel(seconds=30.0),), buckets=Buckets(features=("inputs", "targets"), lengths=((480_000, 440),))),
      task=SpeechToText(
          vocab_size=51_864, start_id=ENGLISH.start, prompt=ENGLISH.prompt()[1:], end_id=ENGLISH.end, pad_id=ENGLISH.end,
          vocabulary=english(folder.rpartition("-")[2]),
          writing=Writing(decoding=DECODING, against=(Against(metric=RATE, reference="text"),))),
      model=model, pretrained=Pretrained(path=folder, names="hf"), paper=PAPER, targets=targets)


def librispeech(model: whisper.Config, folder: str, **rates: float) -> Assessment:
  targets = tuple(Target(
      metric=f"{split}/wer", criterion=within(rate, 0.3), published=rate, place="appendix D.2.1, greedy", kind="number",
      signature=SIGNATURE, says=f"{rate} % word errors on test-{split}") for split, rate in rates.items())
  return assess({split: LibriSpeech(parts=(f"LibriSpeech/test-{split}",)) for split in rates}, model, folder, targets)


def experiment() -> Assessment:
  return librispeech(whisper.tiny(), "weights/whisper-tiny.en", clean=5.6, other=14.6)
