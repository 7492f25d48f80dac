"""Model packs: described by manifests, prepared once, verified at every start.

`ensure("open", default_directory())` builds at first use and verifies after that; it gives the paths of the
prepared graphs (`detector`, `recogniser`) and the `digest` under which templates are comparable.
"""

from __future__ import annotations

from overt.models.manifest import Alignment, Input, Model, Pack, Source, Task, load_pack, pack_names, parse_pack
from overt.models.store import PreparedPack, build, default_directory, ensure, folder_of, package_file, verify

__all__ = [
    "Alignment",
    "Input",
    "Model",
    "Pack",
    "PreparedPack",
    "Source",
    "Task",
    "build",
    "default_directory",
    "ensure",
    "folder_of",
    "load_pack",
    "pack_names",
    "package_file",
    "parse_pack",
    "verify",
]
