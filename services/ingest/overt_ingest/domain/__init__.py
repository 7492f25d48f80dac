"""The rules of a frame's life: no I/O, no protobuf, no event loop."""
