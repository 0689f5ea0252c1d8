"""The encoders and the captioner: features, training, and writing with it."""
