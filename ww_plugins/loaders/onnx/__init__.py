"""ONNX: graphs whose nodes say what each tensor is.

A file is read by our own strict reader of protobuf's wire format, which finds the numbers of a tensor as a place in the
file and leaves them there. The graph is walked once, in its order, and nothing of it is run.
"""
