"""How well the times of words agree with where words really are: strings of digits glued from clips, whose ends are known.

    python launch.py --experiment=ctc_digits --data_dir=DATA --workdir=RUN
    python tests/benchmarks/word_times.py --run=RUN --data_dir=DATA

Prints, for the moments at which the network is sure of a word and for the times that are made of them, the share of time that
is common to a word and its own (mean of intersection over union) and the median error of a boundary.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
from etils import epath

from experiments import ctc_digits
from research.decoding.ctc_alignment import align
from research.evaluation.listening import listen
from research.modes.base import Context
from research.training.interruption import Interruption


class _Moments:
  """The task, with the moments themselves as times of words; a label is a word."""

  def __init__(self, task):
    self.task, self.noise_levels = task, ()

  def listen(self, model, batch):
    return self.task.listen(model, batch)

  def word_times(self, heard, text, tokenizer):
    spans = align(heard["log_probs"][:heard["length"]], tokenizer.encode([text])[0], blank=self.task.blank)
    return [{"start": span.start / heard["rate"], "end": span.stop / heard["rate"]} for span in spans]


def agreement(heard, ends) -> str:
  shares, errors = [], []
  for its, true_ends in zip(heard, ends):
    if len(its.words) == len(true_ends):
      for word, start, end in zip(its.words, [0, *true_ends], true_ends):
        both = min(word["end"], end) - max(word["start"], start)
        shares.append(max(both, 0) / (max(word["end"], end) - min(word["start"], start)))
        errors += [abs(word["start"] - start), abs(word["end"] - end)]
  off = 1000 * np.median(errors)
  return f"{np.mean(shares):.3f} of the time in common, boundaries off by {off:.0f} ms, {len(shares)} words"


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--run", required=True)
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--num", type=int, default=120)
  args = parser.parse_args()
  experiment = ctc_digits.experiment()
  trained = Context(name="ctc_digits", summary="", experiment=experiment, default=experiment, seeds=(0,), workdir=args.run,
                    data_dir=epath.Path(args.data_dir), member=None, interruption=Interruption()).trained()
  chosen = np.arange(args.num)
  raw = trained.opened.evaluation["seen"].raw(chosen)
  for name, task in (("moments", _Moments(trained.task)), ("times", trained.task)):
    heard = listen(trained.network, task, trained.data, trained.opened, "seen", chosen, raw["text"], trained.params,
                   trained.buffers, trained.mesh)
    print(f"{name}: {agreement(heard, raw['ends'])}", flush=True)


if __name__ == "__main__":
  main()
