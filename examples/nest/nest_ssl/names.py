"""The name map: nest_ssl's module and parameter paths to NeMo's.

`{i}` stands for one path component. A key matches a path of which it is a prefix, and the rest is appended. The rule
with the most components wins. A key with `#k` maps call k of exactly that module: where NeMo calls one dropout four
times in a layer, and one ReLU three times in the subsampling, nest_ssl has a module each. Names without a rule are the
same in both.
"""

from __future__ import annotations

_BLOCK = "encoder.blocks.{i}"
_LAYER = "encoder.layers.{i}"
_STACK = "encoder.subsampling.stack"
_CONV = "encoder.pre_encode.conv"

NEST_NAMES: dict[str, str] = {
    "preprocessor.mel": "preprocessor.featurizer",
    "preprocessor.mel.basis": "preprocessor.featurizer.fb",
    "quantizer.projection": "quantizer.proj",
    "mask_processor.embedding": "mask_processor.mask_embedding",
    "encoder.subsampling": "encoder.pre_encode",
    _STACK: _CONV,
    f"{_STACK}.stem": f"{_CONV}.0",
    f"{_STACK}.relu.0#0": f"{_CONV}.1#0",
    f"{_STACK}.depthwise.0": f"{_CONV}.2",
    f"{_STACK}.pointwise.0": f"{_CONV}.3",
    f"{_STACK}.relu.1#0": f"{_CONV}.1#1",
    f"{_STACK}.depthwise.1": f"{_CONV}.5",
    f"{_STACK}.pointwise.1": f"{_CONV}.6",
    f"{_STACK}.relu.2#0": f"{_CONV}.1#2",
    "encoder.positions": "encoder.pos_enc",
    "encoder.positions.drop": "encoder.pos_enc.dropout",
    _BLOCK: _LAYER,
    f"{_BLOCK}.norm_ff1": f"{_LAYER}.norm_feed_forward1",
    f"{_BLOCK}.ff1": f"{_LAYER}.feed_forward1",
    f"{_BLOCK}.ff1.linear_in": f"{_LAYER}.feed_forward1.linear1",
    f"{_BLOCK}.ff1.act": f"{_LAYER}.feed_forward1.activation",
    f"{_BLOCK}.ff1.drop": f"{_LAYER}.feed_forward1.dropout",
    f"{_BLOCK}.ff1.linear_out": f"{_LAYER}.feed_forward1.linear2",
    f"{_BLOCK}.drop_ff1#0": f"{_LAYER}.dropout#0",
    f"{_BLOCK}.norm_att": f"{_LAYER}.norm_self_att",
    f"{_BLOCK}.att": f"{_LAYER}.self_attn",
    f"{_BLOCK}.att.query": f"{_LAYER}.self_attn.linear_q",
    f"{_BLOCK}.att.key": f"{_LAYER}.self_attn.linear_k",
    f"{_BLOCK}.att.value": f"{_LAYER}.self_attn.linear_v",
    f"{_BLOCK}.att.position": f"{_LAYER}.self_attn.linear_pos",
    f"{_BLOCK}.att.output": f"{_LAYER}.self_attn.linear_out",
    f"{_BLOCK}.att.content_bias": f"{_LAYER}.self_attn.pos_bias_u",
    f"{_BLOCK}.att.position_bias": f"{_LAYER}.self_attn.pos_bias_v",
    f"{_BLOCK}.att.drop": f"{_LAYER}.self_attn.dropout",
    f"{_BLOCK}.drop_att#0": f"{_LAYER}.dropout#1",
    f"{_BLOCK}.conv.expand": f"{_LAYER}.conv.pointwise_conv1",
    f"{_BLOCK}.conv.depthwise": f"{_LAYER}.conv.depthwise_conv",
    f"{_BLOCK}.conv.norm": f"{_LAYER}.conv.batch_norm",
    f"{_BLOCK}.conv.act": f"{_LAYER}.conv.activation",
    f"{_BLOCK}.conv.project": f"{_LAYER}.conv.pointwise_conv2",
    f"{_BLOCK}.drop_conv#0": f"{_LAYER}.dropout#2",
    f"{_BLOCK}.norm_ff2": f"{_LAYER}.norm_feed_forward2",
    f"{_BLOCK}.ff2": f"{_LAYER}.feed_forward2",
    f"{_BLOCK}.ff2.linear_in": f"{_LAYER}.feed_forward2.linear1",
    f"{_BLOCK}.ff2.act": f"{_LAYER}.feed_forward2.activation",
    f"{_BLOCK}.ff2.drop": f"{_LAYER}.feed_forward2.dropout",
    f"{_BLOCK}.ff2.linear_out": f"{_LAYER}.feed_forward2.linear2",
    f"{_BLOCK}.drop_ff2#0": f"{_LAYER}.dropout#3",
    "decoder.heads": "decoder.decoder_layers",
    "loss.token_loss": "loss.mlm_loss",
    "loss.token_loss.nll": "loss.mlm_loss.nll_loss",
}
