"""How long words last, of moments inside of them."""

import pytest

from research.preprocessing.text.word_times import LONGEST, held


def test_words_meet_in_the_middle_of_short_blanks_and_end_in_long_ones():
  assert held([(0.1, 0.2), (0.6, 0.7)], 0.8) == [(0.0, pytest.approx(0.4)), (pytest.approx(0.4), 0.8)]
  assert held([(5.0, 5.5), (9.0, 9.1)], 20.0) == [
      pytest.approx((5 - LONGEST, 5.5 + LONGEST)), pytest.approx((9 - LONGEST, 9.1 + LONGEST))]
  assert held([], 1.0) == []
