"""ONNX graphs of encoders: written here for BERT in fp32 and INT8, through torch for the others.

Used once per encoder, when it is exported; what serves reads the package and needs none of this
but the layout of the inputs.
"""
