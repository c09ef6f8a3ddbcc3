"""Collectives whose number and size are known, compiled here or written as other compilers write them."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from research.training.collectives import Traffic, collectives
from research.training.sharding import Sharding


def compiled(body, out_specs) -> str:
  if jax.device_count() < 8:
    pytest.skip("needs 8 devices: XLA_FLAGS=--xla_force_host_platform_device_count=8")
  mesh = Sharding().mesh(jax.devices()[:8])
  function = jax.shard_map(body, mesh=mesh, in_specs=P("data"), out_specs=out_specs, check_vma=False)
  return jax.jit(function).lower(jax.ShapeDtypeStruct((16, 10), jnp.float32)).compile().as_text()


@pytest.mark.parametrize(["body", "out_specs", "expected"], [
    (lambda x: x * 2, P("data"), {}),
    (lambda x: jax.lax.psum(x, "data"), P(), {"all-reduce": Traffic(1, 2 * 10 * 4)}),
    (lambda x: jax.lax.all_gather(x, "data", tiled=True), P(), {"all-gather": Traffic(1, 16 * 10 * 4)}),
    (lambda x: jax.lax.ppermute(x, "data", [(i, (i + 1) % 8) for i in range(8)]), P("data"),
     {"collective-permute": Traffic(1, 2 * 10 * 4)}),
    (lambda x: jax.lax.psum(jnp.sin(jax.lax.psum(x, "data")), "data"), P(), {"all-reduce": Traffic(2, 2 * 2 * 10 * 4)}),
])
def test_counts_what_was_asked_for(body, out_specs, expected):
  assert collectives(compiled(body, out_specs)) == expected


def test_an_asynchronous_pair_counts_once_with_the_bytes_of_its_result():
  text = """
  %all-gather-start.1 = (f32[2,4]{1,0}, f32[16,4]{1,0}) all-gather-start(f32[2,4]{1,0} %p), channel_id=1, dimensions={0}
  %all-gather-done.1 = f32[16,4]{1,0} all-gather-done((f32[2,4]{1,0}, f32[16,4]{1,0}) %all-gather-start.1)
  ROOT %permute = (bf16[8]{0}, bf16[8]{0}, u32[], u32[]) collective-permute-start(bf16[8]{0} %x), channel_id=2
  %d = bf16[8]{0} collective-permute-done(%permute)
  """
  assert collectives(text) == {"all-gather": Traffic(1, 16 * 4 * 4), "collective-permute": Traffic(1, 16)}


def test_several_arrays_in_one_collective_count_once():
  text = "  %a.1 = (f32[3,4]{1,0}, (s8[5]{0}, pred[])) all-reduce(%b, %c, %d), replica_groups={{0,1}}, to_apply=%add\n"
  assert collectives(text) == {"all-reduce": Traffic(1, 48 + 5 + 1)}


def test_names_and_metadata_are_no_collectives():
  text = '  %all-reduce.fusion = f32[2]{0} fusion(%all-reduce.3), metadata={op_name="all-reduce(x)"}\n'
  assert collectives(text) == {}
