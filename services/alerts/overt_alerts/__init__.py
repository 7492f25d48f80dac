"""The alerts service: evidence in, alerts out, each under its own key, and the custody of every key."""
