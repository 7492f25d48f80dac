"""Pure rules of detect: geometry, quality, acceptance, the best shot. No I/O, no protobuf, no models."""
