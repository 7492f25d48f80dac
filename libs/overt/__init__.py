"""The shared library of Overt. It knows no service."""
