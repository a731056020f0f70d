"""Every rule of sort_state_dict, as a table."""

from __future__ import annotations

import pytest

from ww_core.domain.layer import ITEM_SIZES, LayerKind
from ww_core.loading.names import fault_of_name, natural_order, quoted
from ww_core.loading.state_dict import FoundTensor, Part, sort_state_dict


def sort_tuples(tensors, modules=None):
    return sort_state_dict([FoundTensor(*tensor) for tensor in tensors], modules or {})


def kind_of(name, shape, *others):
    state = sort_tuples([(name, "float32", shape), *((other, "float32", (4,)) for other in others)])
    return state.layers[0].kind.value


KINDS = [
    # one axis
    ("bn1.weight", (4,), "norm"),
    ("layer1.0.bn2.weight", (4,), "norm"),
    ("encoder.layer.0.output.LayerNorm.weight", (4,), "norm"),
    ("encoder.layer.0.output.LayerNorm.gamma", (4,), "norm"),
    ("encoder.layer.0.output.LayerNorm.beta", (4,), "norm"),
    ("transformer.h.0.ln_1.weight", (4,), "norm"),
    ("ln_f.weight", (4,), "norm"),
    ("visual.ln_post.weight", (4,), "norm"),
    ("model.norm.weight", (4,), "norm"),
    ("blocks.0.ls1.gamma", (4,), "norm"),
    ("gamma", (4,), "norm"),
    ("features.gn.weight", (4,), "norm"),
    ("downsample.1.weight", (4,), "other"),
    ("subnet.weight", (4,), "other"),
    ("head.bias", (4,), "other"),
    ("logit_bias", (4,), "other"),
    # two axes
    ("fc.weight", (4, 3), "dense"),
    ("fc", (4, 3), "dense"),
    ("weight", (4, 3), "dense"),
    ("embeddings.word_embeddings.weight", (9, 4), "embedding"),
    ("embeddings.token_type_embeddings.weight", (2, 4), "embedding"),
    ("model.embed_tokens.weight", (9, 4), "embedding"),
    ("transformer.wte.weight", (9, 4), "embedding"),
    ("wpe.weight", (9, 4), "embedding"),
    ("tok_emb.weight", (9, 4), "embedding"),
    ("embed.weight", (9, 4), "embedding"),
    ("positional_embedding", (9, 4), "embedding"),
    ("pos_embed", (9, 4), "embedding"),
    ("patch_embed.proj.weight", (9, 4), "dense"),
    ("time_embed.0.weight", (9, 4), "dense"),
    ("time_embedding.linear_1.weight", (9, 4), "dense"),
    ("embed_out.weight", (9, 4), "dense"),
    ("embeddings_project.weight", (9, 4), "dense"),
    ("x_embedder.weight", (9, 4), "dense"),
    ("encoder.embeddings.dense.weight", (9, 4), "dense"),
    ("member.weight", (9, 4), "dense"),
    ("lm_head.weight", (9, 4), "dense"),
    ("norm.weight", (9, 4), "dense"),
    ("attn.in_proj_weight", (12, 4), "qkv"),
    ("in_proj_weight", (12, 4), "qkv"),
    ("mixer.in_proj.weight", (12, 4), "dense"),
    ("lstm.weight_ih_l0", (16, 4), "recurrent"),
    ("lstm.weight_hh_l1_reverse", (16, 4), "recurrent"),
    ("lstm.weight_hr_l0", (2, 4), "recurrent"),
    ("cell.weight_ih", (16, 4), "recurrent"),
    ("experts.0.w1.weight", (8, 4), "dense"),
    # three axes
    ("conv.weight", (8, 4, 3), "conv1d"),
    ("conv", (8, 4, 3), "conv1d"),
    ("conv.weight", (1, 4, 3), "conv1d"),
    ("mlp.experts.gate_up_proj", (8, 4, 6), "expert"),
    ("mlp.experts.down_proj.weight", (1, 4, 6), "expert"),
    ("pos_embed", (1, 197, 768), "other"),
    ("cls_token", (1, 1, 768), "other"),
    ("attn.bias_k", (1, 1, 4), "other"),
    ("lstm.weight_ih_l0", (16, 4, 2), "conv1d"),
    # four and more
    ("patch_embed.proj.weight", (8, 3, 16, 16), "conv2d"),
    ("embeddings.patch_embeddings.projection.weight", (8, 3, 16, 16), "conv2d"),
    ("conv.weight", (1, 4, 3, 3), "conv2d"),
    ("conv1", (8, 4, 3, 3), "conv2d"),
    ("experts.conv.weight", (8, 4, 3, 3), "conv2d"),
    ("patch_embed.proj.weight", (8, 3, 2, 14, 14), "conv3d"),
    ("x.weight", (2, 2, 2, 2, 2, 2), "other"),
    ("logit_scale", (), "other"),
]


@pytest.mark.parametrize(("name", "shape", "kind"), KINDS, ids=[f"{name}-{len(shape)}d" for name, shape, _ in KINDS])
def test_kind(name, shape, kind):
    assert kind_of(name, shape) == kind


def test_a_running_statistic_makes_its_neighbour_a_norm():
    assert kind_of("downsample.1.weight", (4,), "downsample.1.running_mean") == "norm"
    assert kind_of("downsample.1.weight", (4,), "downsample.11.running_mean") == "other"


PAIRS = [
    ("fc.weight", "fc.bias", "fc"),
    ("weight", "bias", "weight"),
    ("attn.in_proj_weight", "attn.in_proj_bias", "attn.in_proj_weight"),
    ("in_proj_weight", "in_proj_bias", "in_proj_weight"),
    ("lstm.weight_ih_l0", "lstm.bias_ih_l0", "lstm.weight_ih_l0"),
    ("lstm.weight_hh_l0_reverse", "lstm.bias_hh_l0_reverse", "lstm.weight_hh_l0_reverse"),
    ("cell.weight_hh", "cell.bias_hh", "cell.weight_hh"),
]


@pytest.mark.parametrize(("weight", "bias", "layer"), PAIRS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_weight_takes_its_bias(weight, bias, layer, turned):
    tensors = [(weight, "float32", (8, 2)), (bias, "float32", (8,))]
    state = sort_tuples(tensors[::-1] if turned else tensors)
    assert [(found.name, found.weight.name, found.bias.name) for found in state.layers] == [(layer, weight, bias)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("fc.weight", "bias"),
        ("fc.weight", "fc2.bias"),
        ("fc.weight", "fc.sub.bias"),
        ("fc.kernel", "fc.bias"),
        ("lstm.weight_ih_l0", "lstm.bias_ih_l1"),
        ("attn.in_proj_weight", "attn.out_proj.bias"),
        ("my_weight", "my_bias"),
    ],
)
def test_a_strange_bias_is_a_layer_of_its_own(first, second):
    state = sort_tuples([(first, "float32", (8, 2)), (second, "float32", (8,))])
    assert [layer.bias for layer in state.layers] == [None, None]
    assert state.layers[1].name == second


def test_a_bias_whose_weight_is_skipped_is_a_layer_of_its_own():
    state = sort_tuples([("fc.weight", "int8", (8, 2)), ("fc.bias", "float32", (8,))])
    assert [layer.name for layer in state.layers] == ["fc.bias"]
    assert [skip.name for skip in state.skipped] == ["fc.weight"]


def test_names_of_layers_are_unique():
    names = ["a", "a.weight", "b.weight", ".weight", "weight", "a.weight.weight"]
    state = sort_tuples([(name, "float32", (2, 2)) for name in names])
    assert [layer.name for layer in state.layers] == ["a", "a.weight", "b", ".weight", "weight", "a.weight.weight"]


@pytest.mark.parametrize(
    ("dtype", "reason"),
    [
        ("int64", "dtype int64 is not floating point"),
        ("uint8", "dtype uint8 is not floating point"),
        ("bool", "dtype bool is not floating point"),
        ("object", "dtype object is not floating point"),
        ("float8_e4m3fn", "dtype float8_e4m3fn is not supported"),
        ("float4_e2m1fn", "dtype float4_e2m1fn is not supported"),
        ("complex64", "dtype complex64 is not supported"),
        ("float128", "dtype float128 is not supported"),
    ],
)
def test_other_dtypes_are_skipped_with_a_reason(dtype, reason):
    state = sort_tuples([("fc.weight", dtype, (3, 2))])
    assert not state.layers
    assert [(skip.name, skip.dtype, skip.shape, skip.reason) for skip in state.skipped] == [
        ("fc.weight", dtype, (3, 2), reason)
    ]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_these_dtypes_are_layers(dtype):
    assert [layer.weight.dtype for layer in sort_tuples([("w", dtype, (3, 2))]).layers] == [dtype]


@pytest.mark.parametrize("name", ["bn.running_mean", "bn.running_var", "running_var", "rotary_emb.inv_freq"])
def test_running_statistics_are_buffers(name):
    state = sort_tuples([(name, "float32", (4,)), ("bn.num_batches_tracked", "int64", ())])
    assert [tensor.name for tensor in state.buffers] == [name]
    assert not state.layers
    assert [skip.name for skip in state.skipped] == ["bn.num_batches_tracked"]


def test_groups_are_never_guessed():
    state = sort_tuples([("depthwise.weight", "float32", (32, 1, 3, 3))])
    assert [(layer.groups, layer.split) for layer in state.layers] == [(1, "")]


def test_the_order_given_is_kept():
    names = ["z", "b.bias", "a.weight", "b.weight", "layer.10", "layer.2"]
    state = sort_tuples([(name, "float32", (2, 2)) for name in names])
    assert [layer.name for layer in state.layers] == ["z", "a", "b", "layer.10", "layer.2"]


def test_natural_order():
    names = ["layer.10.weight", "layer.10.bias", "layer.2.weight", "b", "a10", "a2", "a02", "a1b", "a1", "a", ""]
    assert sorted(names, key=natural_order) == names[::-1]
    assert natural_order("a" + "9" * 10_000) > natural_order("a" + "8" * 10_000)
    assert natural_order("a٣") != natural_order("a3")


@pytest.mark.parametrize("name", ["", "a\0", "\ud800", "a\udfffb", "\x1b" * 2001])
def test_names_that_no_text_is_have_a_fault_that_can_be_shown(name):
    assert fault_of_name(name).isprintable()
    assert fault_of_name(name)


def test_ordinary_names_have_no_fault():
    assert [fault_of_name(name) for name in ["fc.weight", "模型.权重", "poids été", "a/b:0"]] == [""] * 4


def test_names_that_cannot_be_printed_have_no_fault():
    names = ["a\nb", "\x1b[31mred", "a\u202eb", "a\u2028b", "a\x85b", "\U000e0041", "a\\x1b"]
    assert [fault_of_name(name) for name in names] == [""] * len(names)


def test_long_names_are_cut_in_messages():
    assert len(quoted("x" * 10_000)) < 100


BESIDE_A_WEIGHT = {
    "GPTQ": {
        "q.qweight": ("int32", (16, 64)),
        "q.qzeros": ("int32", (2, 8)),
        "q.scales": ("float16", (2, 64)),
        "q.g_idx": ("int32", (128,)),
        "q.bias": ("float16", (64,)),
    },
    "DeepSeek's fp8": {
        "q.weight": ("float8_e4m3fn", (256, 256)),
        "q.weight_scale_inv": ("float32", (2, 2)),
        "q.bias": ("bfloat16", (256,)),
    },
    "MLX": {
        "q.weight": ("uint32", (64, 16)),
        "q.scales": ("bfloat16", (64, 2)),
        "q.biases": ("bfloat16", (64, 2)),
        "q.bias": ("bfloat16", (64,)),
    },
    "bitsandbytes": {
        "q.weight": ("uint8", (2048, 1)),
        "q.weight.absmax": ("float32", (64,)),
        "q.weight.quant_map": ("float32", (16,)),
        "q.bias": ("float16", (64,)),
    },
}


@pytest.mark.parametrize("scheme", BESIDE_A_WEIGHT)
def test_scales_of_a_quantized_weight_are_no_layers(scheme):
    state = sort_state_dict([FoundTensor(name, *own) for name, own in BESIDE_A_WEIGHT[scheme].items()])
    assert [layer.name for layer in state.layers] == ["q.bias"]
    floating = {name for name, (dtype, _) in BESIDE_A_WEIGHT[scheme].items() if dtype in ITEM_SIZES}
    assert {own.name for own in state.buffers} == floating - {"q.bias"}


def test_scales_beside_a_weight_that_is_not_quantized_are_layers():
    state = sort_state_dict([FoundTensor("q.weight", "float32", (8, 8)), FoundTensor("q.scales", "float32", (8, 2))])
    assert [layer.name for layer in state.layers] == ["q", "q.scales"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("stft.forward_basis_buffer", (258, 1, 256)),
        ("h.0.attn.bias", (1, 1, 1024, 1024)),
        ("h.0.attn.masked_bias", (1, 2)),
        ("rotary.freqs_cis", (64, 32)),
        ("layers.0.self_attn.k_scale", (1, 4)),
    ],
)
def test_masks_and_tables_are_no_layers(name, shape):
    state = sort_state_dict([FoundTensor(name, "float32", shape)])
    assert (state.layers, [own.name for own in state.buffers]) == ((), [name])


def test_layers_that_a_source_gives_one_name_have_two():
    parts = [Part("weight", "a", LayerKind.DENSE), Part("weight", "a", LayerKind.NORM), Part("bias", "a")]
    tensors = [
        FoundTensor(name, "float32", shape, part=part)
        for name, shape, part in zip(["a/kernel", "a/scale", "a/bias"], [(4, 3), (4,), (4,)], parts, strict=True)
    ]
    found = [(layer.name, layer.bias.name if layer.bias else "") for layer in sort_state_dict(tensors).layers]
    assert found == [("a", "a/bias"), ("a/scale", "")]


@pytest.mark.parametrize(
    "tensors",
    [
        [("weight", "int8", (4,)), ("A", "float32", (64, 64))],
        [("mix.weight", "int64", (3,)), ("mix.A", "float32", (8, 8))],
    ],
)
def test_what_stands_beside_whole_numbers_that_are_no_quantized_weight_is_a_layer(tensors):
    assert len(sort_tuples(tensors).layers) == 1


def test_experts_of_mlx_are_experts():
    assert kind_of("layers.0.mlp.switch_mlp.up_proj.weight", (8, 64, 32)) == "expert"
