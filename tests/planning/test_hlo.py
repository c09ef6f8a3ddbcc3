"""Bytes and collectives of programs whose traffic is known."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from research.planning import hlo

N = 512
F = 4 * N * N  # bytes of a float32 matrix


@functools.cache
def _on(num):
  return Mesh(jax.devices()[:num], ("d",), axis_types=(AxisType.Auto,))


def _traffic(function, *specs, num=1):
  arrays = [jax.ShapeDtypeStruct((N, N), jnp.float32, sharding=NamedSharding(_on(num), spec)) for spec in specs]
  return hlo.traffic(jax.jit(function).lower(*arrays).compile().as_text())


def test_a_product_reads_two_matrices_and_writes_one():
  found = _traffic(lambda x, y: x @ y, P(), P())
  assert found.products == 3 * F and found.others == 0 and not found.collectives


def test_arithmetic_is_fused_and_counted_apart():
  found = _traffic(lambda x, y: jnp.tanh(x) * y + 1, P(), P())
  assert found.others == 3 * F and found.products == 0


def test_a_loop_counts_as_often_as_it_turns():
  def loop(x, y, turns):
    return jax.lax.scan(lambda x, _: (x @ y, None), x, None, length=turns)[0]

  one, many = (_traffic(functools.partial(loop, turns=turns), P(), P()).products for turns in (2, 12))
  assert many == 6 * one >= 6 * 3 * F


def test_of_a_stack_a_turn_reads_its_slice_and_writes_its_place():
  def stack(x, y):
    def body(_, row):
      return None, jnp.sin(row) * 2

    return jax.lax.scan(body, None, x)[1] + y

  assert _traffic(stack, P(), P()).bytes < 8 * F  # whole matrices in each turn would be 1000 F


@pytest.mark.parametrize("specs,kind,whole,wire", [
    ((P("d"), P()), "all-gather", F, 7 / 8), ((P(None, "d"), P("d")), "all-reduce", F, 14 / 8)])
def test_collectives_by_kind_and_bytes(specs, kind, whole, wire):
  whole_out = NamedSharding(_on(8), P())
  function = (lambda x, y: jax.lax.with_sharding_constraint(jnp.sin(x) + 0 * y, whole_out)) if kind == "all-gather" else (
      lambda x, y: jax.lax.with_sharding_constraint(x @ y, whole_out))
  found = _traffic(function, *specs, num=8).collectives
  assert list(found) == [kind] and found[kind].count == 1
  assert found[kind].bytes == whole and found[kind].wire == pytest.approx(whole * wire)


def test_what_lies_beside_the_main_memory_is_not_its_traffic():
  assert hlo.size("(f32[8,256]{1,0:T(8,128)S(1)}, bf16[4]{0}, u32[]{:S(2)})", in_memory=True) == 8
  assert hlo.size("(f32[8,256]{1,0:T(8,128)S(1)}, bf16[4]{0}, pred[3], s4[2])") == 4 * 8 * 256 + 8 + 3 + 1


TPU = """HloModule step, is_scheduled=true

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[8]{0:T(128)} get-tuple-element(%p), index=1
  %all-gather.1 = f32[32]{0:T(128)} all-gather(%x), channel_id=3, replica_groups=mesh['a'=4,'b'=2] {'a'}, dimensions={0}
  %all-gather.2 = f32[32]{0:T(128)} all-gather(%x), channel_id=3, replica_groups=mesh['a'=4,'b'=2] {'a'}, dimensions={0}
  ROOT %t = (s32[]{:T(128)}, f32[8]{0:T(128)}) tuple(%i, %x)
}

%condition (q: (s32[], f32[8])) -> pred[] {
  %q = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %bound = s32[]{:T(128)} constant(5)
  %j = s32[]{:T(128)} get-tuple-element(%q), index=0
  ROOT %less = pred[]{:T(128)} compare(%j, %bound), direction=LT
}

ENTRY %main (a: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  ROOT %while.1 = (s32[]{:T(128)}, f32[8]{0:T(128)}) while(%a), condition=%condition, body=%body
}
"""


def test_a_tpus_loop_says_its_turns_in_its_condition_and_a_split_collective_counts_once():
  gathered = hlo.traffic(TPU).collectives["all-gather"]
  assert (gathered.count, gathered.bytes, gathered.wire) == (5, 5 * 4 * 8 * 4, 5 * 4 * 8 * 3)


def test_a_loop_without_a_bound_is_said_so():
  found = hlo.traffic(TPU.replace("constant(5)", "parameter(1)"))
  assert found.collectives["all-gather"].count == 1 and "only the run knows" in found.notes[0]
