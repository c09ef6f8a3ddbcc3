"""What is tried in which order, with a compiler whose memory is a formula."""

import dataclasses

from test_roofline import STEP  # beside this file

from research.config import Duration
from research.data.dataset import Data
from research.models import mlp
from research.planning import advice
from research.planning.devices import CHIPS, parse
from research.training.settings import Training


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What `options` looks at."""

  data: Data
  model: mlp.Config
  training: Training


RECIPE = Recipe(data=Data(train=None, evaluation={}, batch_size=64), model=mlp.Config(widths=(8, 8), scan=True),
                training=Training(steps=Duration(100)))
GIB = 2**30


def compiler(static, each, seen):
  """Memory: a part that fsdp cuts, and one an example of a device; remat halves what an example takes."""
  def compile_step(device, changes):
    seen.append((device.name, changes))
    num = device.num_devices
    size = changes.get("data.batch_size", 64)
    if size % num:
      return "does not divide"
    kept = {"none": 1.0, "dots": 0.7, "full": 0.4}[changes.get("model.remat", "none")]
    kept /= changes.get("training.num_microbatches", 1)
    held, moving = static / changes.get("training.sharding.fsdp", 1), each * kept * size / num
    peak = (held + moving) * GIB
    return dataclasses.replace(
        STEP, device=device.name, devices=num, batch_size=size, fits=peak < CHIPS[device.chip].memory, peak=peak,
        capacity=CHIPS[device.chip].memory,
        holds={"parameters": held * GIB, "activations, gradients, temporaries": moving * GIB})
  return compile_step


def _options(name, static, each, most=10):
  seen = []
  return advice.options(RECIPE, parse(name), compiler(static, each, seen), CHIPS, most), seen


def test_the_largest_batch_is_compiled_and_fits():
  found, _ = _options("v5e:1x1", static=1.0, each=0.05)
  sizes = {o.changes["data.batch_size"]: o.fits for o in found if "data.batch_size" in o.changes}
  largest = max(sizes)
  assert sizes[largest] and 0.7 * (15.75 - 1) / 0.05 <= largest <= (15.75 - 1) / 0.05


def test_the_smallest_slice_that_fits():
  found, seen = _options("v5e:4x4", static=1.0, each=0.5)  # 3 GiB on 16; 9 on 4; 33 on 1
  fitting = [o.device.name for o in found if o.fits and "data.batch_size" not in o.changes]
  assert fitting[-1] == "v5e:2x2" and ("v5e:1x1", {}) not in seen


def test_what_does_not_fit_is_cut_then_computed_again_then_taken_in_pieces_then_given_more_chips():
  cut, _ = _options("v5e:2x2", static=16.0, each=0.5)
  assert cut[-1].fits and cut[-1].changes == {"training.sharding.fsdp": 4, "training.sharding.data": 1}
  again, _ = _options("v5e:1x1", static=1.0, each=0.3)
  assert again[-1].fits and again[-1].changes == {"model.remat": "dots"}
  pieces, _ = _options("v5e:1x1", static=1.0, each=1.0)
  assert pieces[-1].fits and pieces[-1].changes == {"model.remat": "full", "training.num_microbatches": 2}
  more, _ = _options("v5e:1x1", static=40.0, each=0.1)
  assert more[-1].fits and more[-1].device.name == "v5e:2x2" and more[-1].changes["training.sharding.fsdp"] == 4


def test_where_there_is_room_less_is_computed_again():
  recipe = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, remat="full"))
  found = advice.options(recipe, parse("v5e"), compiler(1.0, 0.05, []), CHIPS, 10)
  assert {"model.remat": "dots"} in [o.changes for o in found if o.fits]


def test_no_more_is_compiled_than_allowed():
  for most in (1, 2, 3):
    assert len(_options("v5e:4x4", 1.0, 0.5, most)[1]) <= most and len(_options("v5e:1x1", 99.0, 9.0, most)[1]) == most


def test_a_step_that_cannot_be_compiled_is_said_and_nothing_else_is_tried():
  found = advice.options(RECIPE, parse("v5e"), lambda device, changes: "the compiler's process was ended by SIGSEGV", CHIPS, 5)
  assert len(found) == 1 and not found[0].fits and "SIGSEGV" in found[0].problem


def test_another_batch_sees_as_many_examples():
  found, _ = _options("v5e:1x1", static=1.0, each=0.05)
  half = next(o for o in found if o.changes.get("data.batch_size") == 32)
  assert half.cost.hours > 1.9 * found[0].cost.hours - found[0].cost.evaluation_hours * 2
  assert not half.same_result and found[0].same_result


def test_the_command_is_the_recipe_with_what_changes():
  found, _ = _options("v5e:1x1", static=1.0, each=0.3)
  assert advice.command("quick", found[-1], None) == "python launch.py --experiment=quick --model.remat=dots"
