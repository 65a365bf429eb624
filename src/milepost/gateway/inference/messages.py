"""Messages of the public ``inference`` gRPC service, built from one table of their fields.

The names and numbers are those of the Open Inference Protocol, so that any client of it is
understood. The descriptors lie in a pool of their own: a client's generated ones may be in the
same process.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "inference"

# Fields by name with their types: a leading * for repeated, "map:MESSAGE" for a map from strings to
# it, a leading ? for a member of the message's only oneof. A field's number is its place.
_MESSAGES: dict[str, dict[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "bool"},
    "ModelReadyRequest": {"name": "string", "version": "string"},
    "ModelReadyResponse": {"ready": "bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": "string", "version": "string", "extensions": "*string"},
    "ModelMetadataRequest": {"name": "string", "version": "string"},
    "ModelMetadataResponse.TensorMetadata": {
        "name": "string", "datatype": "string", "shape": "*int64",
    },
    "ModelMetadataResponse": {
        "name": "string", "versions": "*string", "platform": "string",
        "inputs": "*ModelMetadataResponse.TensorMetadata",
        "outputs": "*ModelMetadataResponse.TensorMetadata",
    },
    "InferParameter": {
        "bool_param": "?bool", "int64_param": "?int64", "string_param": "?string",
        "double_param": "?double", "uint64_param": "?uint64",
    },
    "InferTensorContents": {
        "bool_contents": "*bool", "int_contents": "*int32", "int64_contents": "*int64",
        "uint_contents": "*uint32", "uint64_contents": "*uint64", "fp32_contents": "*float",
        "fp64_contents": "*double", "bytes_contents": "*bytes",
    },
    "ModelInferRequest.InferInputTensor": {
        "name": "string", "datatype": "string", "shape": "*int64",
        "parameters": "map:InferParameter", "contents": "InferTensorContents",
    },
    "ModelInferRequest.InferRequestedOutputTensor": {
        "name": "string", "parameters": "map:InferParameter",
    },
    "ModelInferRequest": {
        "model_name": "string", "model_version": "string", "id": "string",
        "parameters": "map:InferParameter", "inputs": "*ModelInferRequest.InferInputTensor",
        "outputs": "*ModelInferRequest.InferRequestedOutputTensor", "raw_input_contents": "*bytes",
    },
    "ModelInferResponse.InferOutputTensor": {
        "name": "string", "datatype": "string", "shape": "*int64",
        "parameters": "map:InferParameter", "contents": "InferTensorContents",
    },
    "ModelInferResponse": {
        "model_name": "string", "model_version": "string", "id": "string",
        "parameters": "map:InferParameter", "outputs": "*ModelInferResponse.InferOutputTensor",
        "raw_output_contents": "*bytes",
    },
}  # fmt: skip


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="milepost/inference.proto", package=_PACKAGE, syntax="proto3"
    )
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    # Outer messages first, so that a nested one finds its place.
    for name in sorted(_MESSAGES, key=lambda each: each.count(".")):
        outer, _, own = name.rpartition(".")
        holder = made[outer].nested_type if outer else file.message_type
        made[name] = holder.add(name=own or name)
    for name, fields in _MESSAGES.items():
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _add_field(made[name], name, (field, number, kind))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
        if "." not in name
    }


def _add_field(
    message: descriptor_pb2.DescriptorProto, path: str, said: tuple[str, int, str]
) -> None:
    name, number, kind = said
    field = message.field.add(name=name, number=number)
    field.label = (
        field.LABEL_REPEATED if kind[0] == "*" or kind[:4] == "map:" else (field.LABEL_OPTIONAL)
    )
    if kind[0] == "?":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind.startswith("map:"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _set_type(entry.field.add(name="key", number=1, label=1), "string")
        _set_type(entry.field.add(name="value", number=2, label=1), kind[4:])
        _set_type(field, f"{path}.{entry.name}")
    else:
        _set_type(field, kind.lstrip("*?"))


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    scalar = getattr(field, f"TYPE_{kind.upper()}", None)
    if scalar is not None:
        field.type = scalar
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


MESSAGES: dict[str, Any] = _build()
"""Message classes by name."""
