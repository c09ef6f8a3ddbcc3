"""Every kind of speech network learns: twins of what their experiments do, on beeps, at a size for seconds."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from twins import Tones

from research.augmentation.audio_features import LogMel
from research.augmentation.feature_normalization import NormalizeUtterance
from research.config import Duration
from research.data.buckets import Buckets
from research.data.dataset import Data
from research.data.speech import transcribed
from research.decoding.ctc_search import BestPath
from research.decoding.transducer_search import TransducerGreedy
from research.experiment import Experiment
from research.metrics.speech import ErrorRate
from research.models import conformer, ctc_recurrent, transducer
from research.optimizers.adam import Adam
from research.preprocessing.arrays import Select
from research.preprocessing.audio import DecodeAudio
from research.preprocessing.text.training import Characters
from research.tasks.transcription import Transcription
from research.tasks.transduction import Transduction
from research.tasks.writing import Against, Writing
from research.training.interruption import Interruption
from research.training.settings import Training
from research.training.sharding import Sharding
from research.workdir import Run

SOURCE = Tones(num=256, rate=8000, longest=2)
WRITING = Writing(decoding=BestPath(), against=(Against(metric=ErrorRate(unit="character"), reference="text"),))
TASK = Transcription(vocab_size=10, writing=WRITING)
SMALL = conformer.Config(dim=32, num_layers=2, num_heads=2, channels=8, kernel=8, dropout=0.0)

# The task, the network, the steps.
FAMILIES = {
    "gru": (TASK, ctc_recurrent.Config(channels=(32, 32), width=32), 70),
    "lstm": (TASK, ctc_recurrent.Config(channels=(32, 32), cell="lstm", width=32), 160),
    "conformer": (TASK, SMALL, 120),
    "transducer": (Transduction(vocab_size=10, writing=dataclasses.replace(WRITING, decoding=TransducerGreedy())),
                   transducer.Config(encoder=SMALL, embedding=8, width=16, joint=32, dropout=0.0), 200),
}
QUICK = ("gru",)


def learned(family: str, folder):
  """What is found after so many steps on 256 utterances."""
  task, model, steps = FAMILIES[family]
  spoken = lambda source: transcribed(source, Characters(specials=("<pad>",)), SOURCE)
  experiment = Experiment(
      data=Data(train=spoken(SOURCE), evaluation={"test": spoken(dataclasses.replace(SOURCE, num=64, seed=1))}, batch_size=16,
                transforms=(DecodeAudio(rate=8000), Select(names=("inputs", "targets"))), eval_batch_size=64,
                on_device=(LogMel(rate=8000, frame_size=256, hop=80, num_mels=24), NormalizeUtterance()),
                buckets=Buckets(features=("inputs", "targets"), lengths=((6600, 8),))),
      task=task, model=model, optimizer=Adam(learning_rate=5e-3, clip_norm=5.0),
      training=Training(steps=Duration(steps), evaluate_every=Duration(0), save_every=Duration(0), sharding=Sharding(data=1)))
  experiment.check(None)
  with Interruption() as interruption:
    return experiment.measure(0, Run(epath.Path(folder), None, interruption))


@pytest.mark.parametrize("family", [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.heavy) for name in FAMILIES])
def test_the_family_learns(family, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  found = learned(family, tmp_path / "run")
  assert found.metrics["test/cer"] < 15
  assert found.metrics["test/does_not_fit"] == 0 and np.isfinite(found.metrics["test/loss"])
  assert found.signatures["test/cer"].startswith("CER|spaces:counted|normalizer:none|")
