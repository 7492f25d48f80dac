"""Where domain values meet protobuf, the keyring and the bus."""
