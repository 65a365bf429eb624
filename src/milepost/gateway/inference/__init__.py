"""The Open Inference Protocol, version 2, over HTTP and gRPC.

A task is a model, a release is a version of it. Tensors become questions and answers become
tensors; nothing about an answer is decided here.
"""
