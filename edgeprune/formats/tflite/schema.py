"""The part of the TFLite file schema that is written or read here, as data.

A table is its fields in slot order: `name:type`, `=` the default where it is not zero, `-` for a slot nobody here needs. A type
is a scalar, `text`, a table, `[...]` a vector (`|16`: aligned to 16 bytes), or a union, which takes two slots: kind and table.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLES = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:text buffers:[Buffer] "
    "metadata_buffer:[i32] metadata:[Metadata] signature_defs:[SignatureDef]",
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:text version:i32=1 builtin_code:i32",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:text",
    "Tensor": "shape:[i32] type:i8 buffer:u32 name:text - is_variable:bool sparsity:SparsityParameters shape_signature:[i32]",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options:BuiltinOptions",
    "Buffer": "data:[u8|16] offset:u64 size:u64",
    "Metadata": "name:text buffer:u32",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:text - subgraph_index:u32",
    "TensorMap": "name:text tensor_index:u32",
    "SparsityParameters": "traversal_order:[i32] block_map:[i32] dim_metadata:[DimensionMetadata]",
    "DimensionMetadata": "format:i8 dense_size:i32 array_segments:SparseIndexVector array_indices:SparseIndexVector",
    "Int32Vector": "values:[i32]",
    "Uint16Vector": "values:[u16|4]",
    "Uint8Vector": "values:[u8|4]",
    "Conv2DOptions": "padding:i8 stride_w:i32 stride_h:i32 activation:i8 dilation_w:i32=1 dilation_h:i32=1",
    "DepthwiseConv2DOptions": "padding:i8 stride_w:i32 stride_h:i32 multiplier:i32 activation:i8 "
    "dilation_w:i32=1 dilation_h:i32=1",
    "Pool2DOptions": "padding:i8 stride_w:i32 stride_h:i32 width:i32 height:i32 activation:i8",
    "FullyConnectedOptions": "activation:i8 weights_format:i8 keep_num_dims:bool",
    "SoftmaxOptions": "beta:f32",
    "ConcatenationOptions": "axis:i32 activation:i8",
    "AddOptions": "activation:i8",
    "SubOptions": "activation:i8",
    "DivOptions": "activation:i8",
    "MulOptions": "activation:i8",
    "ReshapeOptions": "new_shape:[i32]",
    "ReducerOptions": "keep_dims:bool",
    "StridedSliceOptions": "begin_mask:i32 end_mask:i32",
    "GatherOptions": "axis:i32 batch_dims:i32",
    "LeakyReluOptions": "alpha:f32",
    "GeluOptions": "approximate:bool",
    "ResizeBilinearOptions": "- - align_corners:bool half_pixel_centers:bool",
    "MirrorPadOptions": "mode:i8",
    "DepthToSpaceOptions": "block_size:i32",
    "CastOptions": "in_data_type:i8 out_data_type:i8",
    "BatchMatMulOptions": "adj_x:bool adj_y:bool",
}

# union: {kind: table}
UNIONS = {
    "SparseIndexVector": {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"},
    "BuiltinOptions": {
        1: "Conv2DOptions", 2: "DepthwiseConv2DOptions", 5: "Pool2DOptions", 8: "FullyConnectedOptions", 9: "SoftmaxOptions",
        10: "ConcatenationOptions", 11: "AddOptions", 15: "ResizeBilinearOptions", 17: "ReshapeOptions", 21: "MulOptions",
        23: "GatherOptions", 27: "ReducerOptions", 28: "SubOptions", 29: "DivOptions", 32: "StridedSliceOptions",
        37: "CastOptions", 75: "LeakyReluOptions", 77: "MirrorPadOptions", 94: "DepthToSpaceOptions", 101: "BatchMatMulOptions",
        116: "GeluOptions",
    },
}  # fmt: skip

# op: (its code in the file, the table of its options or "" where it has none to set)
OPS = {
    "ADD": (0, "AddOptions"),
    "AVERAGE_POOL_2D": (1, "Pool2DOptions"),
    "CONCATENATION": (2, "ConcatenationOptions"),
    "CONV_2D": (3, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": (4, "DepthwiseConv2DOptions"),
    "DEPTH_TO_SPACE": (5, "DepthToSpaceOptions"),
    "FLOOR": (8, ""),
    "FULLY_CONNECTED": (9, "FullyConnectedOptions"),
    "LOGISTIC": (14, ""),
    "MAX_POOL_2D": (17, "Pool2DOptions"),
    "MUL": (18, "MulOptions"),
    "RELU": (19, ""),
    "RELU_N1_TO_1": (20, ""),
    "RELU6": (21, ""),
    "RESHAPE": (22, "ReshapeOptions"),
    "RESIZE_BILINEAR": (23, "ResizeBilinearOptions"),
    "SOFTMAX": (25, "SoftmaxOptions"),
    "TANH": (28, ""),
    "PAD": (34, ""),
    "GATHER": (36, "GatherOptions"),
    "TRANSPOSE": (39, ""),
    "MEAN": (40, "ReducerOptions"),
    "SUB": (41, "SubOptions"),
    "DIV": (42, "DivOptions"),
    "STRIDED_SLICE": (45, "StridedSliceOptions"),
    "EXP": (47, ""),
    "LOG_SOFTMAX": (50, ""),
    "CAST": (53, "CastOptions"),
    "PRELU": (54, ""),
    "MAXIMUM": (55, ""),
    "MINIMUM": (57, ""),
    "NEG": (59, ""),
    "PADV2": (60, ""),
    "GREATER": (61, ""),
    "SIN": (66, ""),
    "LOG": (73, ""),
    "SUM": (74, "ReducerOptions"),
    "SQRT": (75, ""),
    "RSQRT": (76, ""),
    "POW": (78, ""),
    "REDUCE_MAX": (82, "ReducerOptions"),
    "REDUCE_MIN": (89, "ReducerOptions"),
    "LEAKY_RELU": (98, "LeakyReluOptions"),
    "SQUARED_DIFFERENCE": (99, ""),
    "MIRROR_PAD": (100, "MirrorPadOptions"),
    "ABS": (101, ""),
    "COS": (108, ""),
    "ELU": (111, ""),
    "ROUND": (116, ""),
    "HARD_SWISH": (117, ""),
    "SELECT_V2": (123, ""),
    "DENSIFY": (124, ""),
    "BATCH_MATMUL": (126, "BatchMatMulOptions"),
    "GELU": (150, "GeluOptions"),
    "SIGN": (158, ""),
}

# numpy type: its code in the file
TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float64": 10,
    "uint64": 12, "uint32": 15, "uint16": 16,
}  # fmt: skip

ACTIVATIONS = {"": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
SAME, VALID = 0, 1
IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Field:
    slot: int
    name: str
    type: str  # a scalar, "text", a table's or a union's name; for a vector that of its elements
    vector: bool
    align: int
    default: int


def _fields(text: str) -> tuple[Field, ...]:
    fields, slot = [], 0
    for word in text.split():
        name, _, rest = word.partition(":")
        kind, _, default = rest.partition("=")
        vector = kind.startswith("[")
        kind, _, align = kind.strip("[]").partition("|")
        union = kind in UNIONS
        if name != "-":
            fields.append(Field(slot, name, kind, vector, int(align or 0), int(default or 0)))
        slot += 2 if union else 1
    return tuple(fields)


TABLES = {name: _fields(text) for name, text in _TABLES.items()}
