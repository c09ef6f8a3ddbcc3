"""Verdicts: what counts as seeing a published result here."""

import math

import pytest

from research.paper import Target, Verdict, at_least, at_most, headline, judge, seeds_interval, within

ACCURACY = Target(metric="test/accuracy", criterion=within(0.65, 0.025), says="Table 2", published=0.651, kind="number",
                  signature="top1")


def test_the_mean_over_seeds_is_judged_unless_all_are_asked_for():
  values = (0.60, 0.65, 0.70)
  assert judge(ACCURACY, values, signature="top1").verdict is Verdict.REPRODUCED
  every = Target(metric="x", criterion=within(0.65, 0.025), says="", seeds="all")
  outcome = judge(every, values)
  assert outcome.verdict is Verdict.MISSED and "0.025" in outcome.reason


def test_a_miss_says_by_how_much():
  outcome = judge(ACCURACY, (0.60,), signature="top1")
  assert outcome.verdict is Verdict.MISSED and outcome.reason.endswith("by 0.025")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_never_reproduces(value):
  criterion = at_least(0.5) if value != math.inf else at_most(0.5)
  assert judge(Target(metric="x", criterion=criterion, says=""), (value,)).verdict is Verdict.MISSED


def test_unlike_signatures_and_deviations_are_not_compared():
  assert judge(ACCURACY, (0.65,), signature="top5").verdict is Verdict.NOT_COMPARABLE
  outcome = judge(ACCURACY, (0.65,), signature="top1", deviation="training.steps: 6000 → 10")
  assert outcome.verdict is Verdict.NOT_COMPARABLE and "6000 → 10" in outcome.reason


def test_a_control_is_met_when_its_criterion_fails():
  control = Target(metric="x", criterion=at_most(1), says="wrong exponent", control=True)
  assert judge(control, (5,)).verdict is Verdict.REPRODUCED
  assert judge(control, (0.5,)).verdict is Verdict.MISSED


def test_the_headline_is_the_worst_that_gates():
  shown = judge(Target(metric="x", criterion=at_most(1), says="", not_comparable="other data"), (0.5,))
  met = judge(Target(metric="x", criterion=at_most(1), says=""), (0.5,))
  missed = judge(Target(metric="x", criterion=at_most(1), says=""), (2,))
  absent = judge(Target(metric="x", criterion=at_most(1), says=""), ())
  assert headline([shown, met]) is Verdict.REPRODUCED
  assert headline([met, absent]) is Verdict.NOT_RUN
  assert headline([met, absent, missed]) is Verdict.MISSED
  assert headline([shown]) is Verdict.NOT_COMPARABLE


def test_interval_over_seeds_is_students():
  low, high = seeds_interval((1.0, 2.0, 3.0))
  assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
  assert seeds_interval((1.0,)) is None
