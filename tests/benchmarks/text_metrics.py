"""What intervals and paired tests of BLEU, chrF and TER cost here and in sacreBLEU, which gives the same ones.

    python tests/benchmarks/text_metrics.py

1,000 sentences, 1,000 resamples (10,000 exchanges). Prints the seconds of both, and the processor. Counting n-grams is
sacreBLEU's in either case; its paired tests count both systems again, so that theirs include it.
"""

import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[2]), str(pathlib.Path(__file__).parents[1])]

from sacrebleu import significance
from texts import many

from research import records
from research.metrics.base import bootstrap
from research.metrics.significance import approximate_randomization, paired_bootstrap
from research.metrics.translation import Bleu, Chrf, Ter


def timed(call, *arguments, **options):
  begin = time.perf_counter()
  return call(*arguments, **options), time.perf_counter() - begin


def compare(ours, references, first, second):
  ((name, metric),), theirs = ours.metrics.items(), ours.scorer()
  a, counting = timed(ours.rows, first, [[r] for r in references])
  a, b = a[name], ours.rows(second, [[r] for r in references])[name]
  print(f"{name}: counting {counting:.2f}")
  _, mine = timed(bootstrap, a, metric.value)
  _, other = timed(significance._bootstrap_resample, a.tolist(), theirs, 1000)
  print(f"  bootstrap interval {mine:.2f}, {other:.2f}")
  for kind, test, num in (("bs", paired_bootstrap, 1000), ("ar", approximate_randomization, 10_000)):
    found, mine = timed(test, a, b, metric.value)
    paired = significance.PairedTest([("first", first), ("second", second)], {"it": theirs}, [references], test_type=kind,
                                     n_samples=num)
    (_, results), other = timed(paired)
    print(f"  {test.__name__} {mine:.2f}, {other:.2f} with counting; p {found.p_value:.4f}, "
          f"{list(results.values())[-1][1].p_value:.4f}")


def main():
  references, first, second = many(1000)
  print(f"{records.environment()['cpu']}: seconds here, in sacreBLEU")
  for ours in (Bleu(), Chrf(), Ter()):
    compare(ours, references, first, second)


if __name__ == "__main__":
  main()
