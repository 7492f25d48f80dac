"""What talks to the outside: the engine, its directory, the sealed snapshot, the keys."""
