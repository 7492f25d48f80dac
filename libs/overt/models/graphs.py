"""Preparing a model's graph: the only place that imports `onnx`.

The shipped files are block-quantised and list their weights as graph inputs; ONNX Runtime rejects them and
OpenCV fails on one of them. Each step here takes a model and changes it in place. Steps are named in a pack's
manifest. The bytes that come out depend on the source file and the steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from overt.errors import Fatal


def prepare(source: bytes, steps: Sequence[str]) -> bytes:
    """The source file's bytes after every step, in order. Fatal when a step is unknown or does not fit."""
    if not steps:
        return source
    model = onnx.load_model_from_string(source)
    for step in steps:
        if step not in STEPS:
            raise Fatal(f"unknown preparation step {step!r}; there are: {', '.join(sorted(STEPS))}")
        STEPS[step](model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def fold_constants(model: onnx.ModelProto) -> None:
    """Weights become plain fp32 initialisers; Dropout goes; the picture stays as the only graph input."""
    graph = model.graph
    values = {i.name: i for i in graph.initializer}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        if node.op_type == "DequantizeLinear" and all(i in values for i in node.input):
            value = _dequantised(node, [numpy_helper.to_array(values[i]) for i in node.input])
        elif node.op_type == "Reshape" and all(i in values for i in node.input):
            data, shape = (numpy_helper.to_array(values[i]) for i in node.input)
            value = data.reshape(shape)
        elif node.op_type == "Constant":
            value = numpy_helper.to_array(helper.get_node_attr_value(node, "value"))
        elif node.op_type == "Dropout":
            renamed[node.output[0]] = node.input[0]
            continue
        else:
            kept.append(node)
            continue
        values[node.output[0]] = numpy_helper.from_array(np.ascontiguousarray(value), node.output[0])
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    _set_initialisers(graph, [values[name] for name in sorted(used & values.keys())])
    pictures = [i for i in graph.input if i.name in used and i.name not in values]
    if len(pictures) != 1:
        raise Fatal(f"the graph has {len(pictures)} inputs besides its weights; one picture was expected")
    del graph.input[:]
    graph.input.extend(pictures)
    # Shapes written down by the exporter are for one picture of one size.
    del graph.value_info[:]


def dynamic_batch(model: onnx.ModelProto) -> None:
    """Any number of pictures at once. A Reshape to a fixed batch of one keeps its input's instead."""
    graph = model.graph
    values = {i.name: i for i in graph.initializer}
    for value in (*graph.input, *graph.output):
        _name_dimension(value, 0, "N")
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in values:
            shape = numpy_helper.to_array(values[node.input[1]]).copy()
            if shape[0] == 1:
                shape[0] = 0  # ONNX: as in the input
                values[node.input[1]].CopyFrom(numpy_helper.from_array(shape, node.input[1]))


def dynamic_size(model: onnx.ModelProto) -> None:
    """Any height and width; the outputs' number of anchors follows."""
    graph = model.graph
    _name_dimension(graph.input[0], 2, "H")
    _name_dimension(graph.input[0], 3, "W")
    for value in graph.output:
        _name_dimension(value, 1, f"anchors_{value.name}")


def split_prelu(model: onnx.ModelProto) -> None:
    """PReLU as a*x + (1-a)*relu(x), the factors as depthwise 1x1 convolutions.

    ONNX Runtime has no blocked-layout PReLU on the CPU: it converts the layout before and after each one.
    This form stays in the blocked layout, which halves the time of SFace; results differ by rounding.
    """
    graph = model.graph
    values = {i.name: i for i in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "PRelu" or node.input[1] not in values:
            nodes.append(node)
            continue
        x, name = node.input[0], node.output[0]
        slope = numpy_helper.to_array(values.pop(node.input[1])).reshape(-1).astype(np.float32)
        weights = {f"{name}_a": slope, f"{name}_1_a": np.float32(1) - slope}
        for weight, factor in weights.items():
            values[weight] = numpy_helper.from_array(factor.reshape(-1, 1, 1, 1), weight)
        below, above = f"{name}_below", f"{name}_above"
        nodes += [
            helper.make_node("Relu", [x], [f"{name}_relu"], name=f"{name}_relu"),
            helper.make_node("Conv", [x, f"{name}_a"], [below], name=below, group=len(slope)),
            helper.make_node("Conv", [f"{name}_relu", f"{name}_1_a"], [above], name=above, group=len(slope)),
            helper.make_node("Add", [below, above], [name], name=name),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    _set_initialisers(graph, [values[name] for name in sorted(values)])


STEPS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "fold_constants": fold_constants,
    "dynamic_batch": dynamic_batch,
    "dynamic_size": dynamic_size,
    "split_prelu": split_prelu,
}


def _dequantised(node: onnx.NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.float32]:
    """ONNX DequantizeLinear: (q - zero_point) * scale, per block along `axis` when block_size is set."""
    quantised, scale = inputs[0].astype(np.float32), inputs[1].astype(np.float32)
    zero = inputs[2].astype(np.float32) if len(inputs) > 2 else np.zeros_like(scale)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        length = quantised.shape[axis]
        scale, zero = (np.repeat(v, block, axis=axis).take(range(length), axis=axis) for v in (scale, zero))
    elif scale.ndim == 1:
        shape = [1] * quantised.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (quantised - zero) * scale


def _name_dimension(value: onnx.ValueInfoProto, position: int, name: str) -> None:
    dimension = value.type.tensor_type.shape.dim[position]
    dimension.Clear()
    dimension.dim_param = name


def _set_initialisers(graph: onnx.GraphProto, initialisers: Sequence[onnx.TensorProto]) -> None:
    copies = [onnx.TensorProto.FromString(i.SerializeToString(deterministic=True)) for i in initialisers]
    del graph.initializer[:]
    graph.initializer.extend(copies)
