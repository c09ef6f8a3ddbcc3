"""A step's time, and what a run costs, by hand."""

import dataclasses

import pytest

from research.flops import PEAKS
from research.planning import advice, compute, roofline, summary
from research.planning.advice import Option
from research.planning.compute import Compiled
from research.planning.devices import CHIPS, parse
from research.planning.roofline import MEMORY, PRODUCTS, WIRE, cost

STEP = Compiled(
    device="v5e:2x2", devices=4, kind="TPU v5 lite", precision="bfloat16", mesh={"data": 4, "fsdp": 1, "tensor": 1},
    batch_size=64, num_parameters=1000, flops=4 * 197e12 * PRODUCTS, mean_share=1.0, elementwise=0.0, notes=(), fits=True,
    capacity=16e9, peak=8e9, holds={}, products=0.0, others=819e9 * MEMORY / 2, wire=0.0, hidden=0.0, compile_seconds=1.0,
    batch_bytes=1e6, state_bytes=1e6, num_checkpoints=2, total_steps=2400, num_examples=1000, eval_examples=64 * 30,
    num_evaluations=4, data_bytes=1e6, declared="")


def _cost(step=STEP, chip=CHIPS["v5e"], num=4, **changes):
  return cost(dataclasses.replace(step, **changes), chip, num)


def test_arithmetic_then_memory():
  found = _cost()
  assert found.seconds == pytest.approx(1.5) and found.parts == pytest.approx({"arithmetic": 1.0, "memory": 0.5, "links": 0.0})
  assert found.utilization == pytest.approx(PRODUCTS / 1.5)


def test_products_take_the_longer_of_arithmetic_and_memory():
  found = _cost(products=819e9 * MEMORY * 3)
  assert found.parts == pytest.approx({"arithmetic": 0.0, "memory": 3.5, "links": 0.0})


def test_hidden_collectives_count_where_they_outlast_the_rest():
  link = CHIPS["v5e"].link * WIRE
  assert _cost(wire=link, hidden=0.0).seconds == pytest.approx(2.5)
  assert _cost(wire=link, hidden=link).seconds == pytest.approx(1.5)
  assert _cost(wire=2 * link, hidden=2 * link).parts["links"] == pytest.approx(0.5)


def test_hours_energy_and_money():
  found = _cost(chip=dataclasses.replace(CHIPS["v5e"], dollars=2.0, watts=200.0))
  assert found.evaluation_hours == pytest.approx(4 * 30 * 1.5 / 3 / 3600)  # forward passes: a third
  assert found.hours == pytest.approx(1.0 + found.evaluation_hours)
  assert found.dollars == pytest.approx(8 * found.hours) and found.kilowatt_hours == pytest.approx(0.8 * found.hours)
  assert _cost().kilowatt_hours is None  # not published


def test_shapes_of_batches_count_in_the_mean():
  assert _cost(mean_share=0.5).seconds == pytest.approx(0.75)


def test_float64_is_not_priced_where_there_is_no_unit_for_it():
  assert _cost(precision="float64").seconds == float("inf")
  a100 = _cost(precision="float64", chip=CHIPS["a100"], products=0.0, others=0.0)
  assert a100.seconds == pytest.approx(197e12 * PRODUCTS / (19.5e12 * PRODUCTS))
  assert PEAKS[CHIPS["a100"].kind].flops == 312e12


def test_a_step_that_was_tried_takes_what_it_took():
  found = _cost(chip=CHIPS["cpu"], rates={"flops": 1e9, "bandwidth": 1e9, "step": 0.25})
  assert found.seconds == 0.25 and found.by == roofline.TRIED and found.dollars is None
  slow = _cost(chip=CHIPS["cpu"], devices=1, flops=1e12, rates={"flops": 1e10, "bandwidth": 1e10}, others=1e11)
  assert slow.seconds == pytest.approx(110) and slow.by == roofline.RATES


def test_input_counts_where_the_host_computes_and_where_an_accelerator_waits_for_it():
  rates = {"flops": 1e9, "bandwidth": 1e9, "step": 0.25}
  on = lambda kind, seconds: _cost(chip=CHIPS["cpu"], kind=kind, rates=rates, input_seconds=seconds, cores=2)
  assert on("cpu", 0.5).seconds == 0.5 and on("cpu", 0.5).parts == {"step": 0.25, "input": 0.25}
  assert on("NVIDIA H200", 0.4).seconds == 0.25 and on("NVIDIA H200", 0.6).seconds == pytest.approx(0.3)
  assert _cost(input_seconds=100.0).seconds == _cost().seconds  # another host delivers it there


@pytest.mark.parametrize("message,needs,has", [
    ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, allocation (20.99G) exceeds available HBM (15.75G)", 20.99, 15.75),
    ("RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 29.31G of 15.75G hbm. "
     "Exceeded hbm capacity by 13.56G.", 29.31, 15.75)])
def test_the_compilers_refusal_is_read(message, needs, has):
  assert compute.refused(message) == (pytest.approx(needs * 2**30), pytest.approx(has * 2**30))


def test_a_price_that_nobody_publishes_is_said_to_be_an_estimate():
  said = lambda name: dict(summary.lines(Option(device=parse(name), changes={}, compiled=STEP, cost=_cost(chip=CHIPS[name])),
                                         CHIPS[name]))["it costs"]
  assert "dollars (an estimate" in said("tpu7x") and "power not published" in said("tpu7x")
  assert "an estimate" not in said("v5e") and "SkyPilot" in said("v5e")


def _option(hours, dollars, fits=True):
  if not fits:
    return Option(device=parse("v5e"), changes={}, compiled=dataclasses.replace(STEP, fits=False), cost=None)
  return Option(device=parse("v5e"), changes={}, compiled=STEP, cost=dataclasses.replace(_cost(), hours=hours, dollars=dollars))


def test_the_best_are_those_no_other_beats_in_both():
  fast, middle, cheap, worse, too_large = (_option(1, 9), _option(2, 5), _option(4, 3), _option(3, 5), _option(0, 0, False))
  assert advice.pareto([worse, cheap, too_large, fast, middle]) == [fast, middle, cheap]
