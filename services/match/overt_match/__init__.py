"""The list in force, and the search in it. See the README beside this package."""
