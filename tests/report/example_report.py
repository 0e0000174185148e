from __future__ import annotations

from edgeprune.report import (
    Accuracy,
    Artifact,
    Dense,
    Latency,
    Layer,
    MultiplyAdds,
    Parameters,
    Parity,
    Ratio,
    Report,
    Round,
    Speedup,
    Weights,
)

PLACES = [{"tflite": i, "onnx": i} for i in range(2)]

EXAMPLE = Report(
    date="2026-11-21T03:30:00+00:00",
    command=("edgeprune", "compress", "lenet.pt", "--ratio", "1024", "--target", "tflite,onnx"),
    versions={"edgeprune": "0.1.0", "python": "3.11.7"},
    seed=0,
    settings={"criterion": "magnitude", "rounds": 2},
    device={"cpu": "a cpu", "cores": 2},
    seconds=151.5,
    ratio=Ratio(1024.0, 1027.8, 620.1, 310.5),
    weights=Weights(266_200, 259, 259),
    parameters=Parameters(266_610, 430),
    accuracy=Accuracy(0.9812, 0.8034, 10_000, 0.11, 0.42),
    multiply_adds=MultiplyAdds(266_200, 5_021, 259),
    layers=(
        Layer("fc1", "Linear", (300, 784), (24, 784), 235_200, 170, 170, 0.009, {"tflite": "csr", "onnx": "coo"}, PLACES[0]),
        Layer("fc2", "Linear", (100, 300), (18, 24), 30_000, 53, 53, 0.12, {"tflite": "csr", "onnx": "csr"}, PLACES[1]),
        Layer("head.a.very.long.name.of.a.layer", "Linear", (10, 100), None, 1_000, 36, 36, None),
    ),
    artifacts=(
        Artifact(
            "model.tflite",
            "tflite",
            3_412,
            1_900,
            Parity(2.1e-7, 1.0, 10_000, 1e-5),
            Latency(0.0021, 0.0022, 0.0031, 200_000),
            Speedup(9.1, 8.7, 9.4),
            0.4,
            0.02,
            38_000_000,
            "ai-edge-litert 2.3.0",
            1,
        ),
        Artifact("model.onnx", "onnx", 6_204, 2_900),
    ),
    dense=(Dense("tflite", 1_068_300, 980_000, 266_200, Latency(0.019, 0.02, 0.03, 50_000), 1.1, 0.2, 41_000_000),),
    rounds=(
        Round(1, 8_304, 8_304, 266_200, 0.9791, 0.02, 10, 4.0),
        Round(2, 259, 259, 266_200, 0.8034, 0.61, 20, 6.0),
    ),
    warnings=("onnx was not measured",),
)
