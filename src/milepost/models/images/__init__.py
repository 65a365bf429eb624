"""Images to vectors: bytes to pixels, pixels to a vector, with Pillow, numpy and onnxruntime.

Only ``exporting`` imports torch, and only when it exports.
"""
