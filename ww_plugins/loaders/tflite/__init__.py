"""Models of TensorFlow Lite, read without TensorFlow: flatbuffers with the numbers in them or behind them."""
