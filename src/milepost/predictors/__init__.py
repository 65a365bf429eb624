"""The runtime of every predictor kind: numpy, onnxruntime and tokenizers, nothing heavier.

Fitting lives in ``milepost.strategies``; here is only what answers.
"""
