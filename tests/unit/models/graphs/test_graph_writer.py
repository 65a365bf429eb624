"""What the writer of graphs writes is what the onnx package reads."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import numpy_helper

from milepost.models.export import exported
from milepost.models.folder import read_folder
from milepost.models.graphs import writer
from milepost.models.graphs.writer import Graph, Node, Tensor, Value, written
from milepost.testing.tiny import write_tiny

KINDS = ("float32", "float16", "int8", "uint8", "int32", "int64", "bool")


@given(st.sampled_from(KINDS), st.data())
def test_constants_come_back_bit_for_bit(kind, data):
    array = data.draw(arrays(kind, array_shapes(min_dims=0, max_dims=3)))
    graph = Graph([], [Tensor("c", array)], [], [])
    read = onnx.load_from_string(written(graph, {"": 18}, 9))
    found = numpy_helper.to_array(read.graph.initializer[0])
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@given(st.integers(-(2**63), 2**63 - 1), st.floats(width=32, allow_nan=False))
def test_settings_come_back(whole, real):
    node = Node("Some", ["a", "", "b"], ["c"], "here", {"axis": whole, "epsilon": float(real)})
    read = onnx.load_from_string(written(Graph([node], [], [], []), {"": 18, "here": 3}, 9))
    found = read.graph.node[0]
    assert (found.op_type, found.domain) == ("Some", "here")
    assert (list(found.input), list(found.output)) == (["a", "", "b"], ["c"])
    assert {each.name: onnx.helper.get_attribute_value(each) for each in found.attribute} == {
        "axis": whole,
        "epsilon": real,
    }
    assert {each.domain: each.version for each in read.opset_import} == {"": 18, "here": 3}
    assert read.ir_version == 9


def test_inputs_say_type_and_shape():
    graph = Graph([], [], [Value("x", writer.INT64, ["b", 7])], [Value("y", writer.FLOAT, None)])
    read = onnx.load_from_string(written(graph, {"": 18}, 9)).graph
    sizes = [(d.dim_param, d.dim_value) for d in read.input[0].type.tensor_type.shape.dim]
    assert sizes == [("b", 0), ("", 7)]
    assert read.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert not read.output[0].type.tensor_type.HasField("shape")


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(writer, "LARGEST", 100)
    with pytest.raises(ValueError, match="larger than one file"):
        written(Graph([], [Tensor("c", np.zeros(100, np.float32))], [], []), {"": 18}, 9)


def test_an_encoder_is_a_valid_model(tmp_path):
    folder = read_folder(write_tiny(tmp_path / "bert"))
    package = exported(folder, tmp_path / "cache", lambda said: None)
    model = onnx.load_from_string(package.model)
    names = {name for node in model.graph.node for name in node.output}
    assert {each.name for each in model.graph.output} <= names
    assert package.manifest.dimensions == 32
