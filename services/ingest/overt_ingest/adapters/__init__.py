"""What touches the world outside: detect, match, the bus, video sources, pictures."""
