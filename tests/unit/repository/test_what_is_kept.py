"""What may be in the repository: text of a readable length, no pictures, no weights, no registry's address."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

MAX_BYTES = 1024 * 1024
MAX_LINES = 500
MAX_LINES_SHIPPED = 400
"""Of what is not a test."""

# Pictures and weights never enter; nor do keys.
_UNWANTED = re.compile(
    r"\.(jpe?g|png|gif|bmp|webp|tiff?|ico|mp4|mkv|avi|mov|wav|onnx|np[yz]|pth?|tflite|h5|bin|safetensors|pkl|pickle"
    r"|zip|gz|tar|whl|so|pem|key|p12)$",
    re.IGNORECASE,
)
_PICTURE_IN_TEXT = re.compile(r"data:image[/](?!svg)|(?:/9j/|iVBORw0KGgo)[A-Za-z0-9+/]{100}")

# In pieces, so that this file does not name them either.
_REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("jsdelivr", "net"),
        ("unpkg", "com"),
        ("anaconda", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("huggingface", "co"),
        ("proxy", "golang", "org"),
    )
]


def test_no_file_is_large(tracked: list[Path]) -> None:
    assert not {path.name: path.stat().st_size for path in tracked if path.stat().st_size > MAX_BYTES}


def test_no_picture_no_weights_and_no_key(tracked: list[Path]) -> None:
    assert not [path for path in tracked if _UNWANTED.search(path.name)]


def test_everything_is_text(tracked: list[Path]) -> None:
    """A picture under another name is none."""
    for path in tracked:
        content = path.read_bytes()
        assert b"\0" not in content, path
        try:
            text = content.decode()
        except UnicodeDecodeError:
            pytest.fail(f"{path} is not UTF-8 text")
        assert not _PICTURE_IN_TEXT.search(text), f"{path} holds a picture"


def test_no_registry_is_named(tracked: list[Path]) -> None:
    named = [
        (path.name, host)
        for path in tracked
        for text in [path.read_text().lower()]
        for host in _REGISTRIES
        if host in text
    ]
    assert not named


def _hand_written(root: Path, tracked: list[Path]) -> dict[str, int]:
    return {
        str(name): len(path.read_text().splitlines())
        for path in tracked
        for name in [path.relative_to(root)]
        if path.suffix in {".py", ".js", ".css", ".sh"} and not name.is_relative_to("libs/overt/api")
    }


def test_modules_can_be_read_in_one_sitting(root: Path, tracked: list[Path]) -> None:
    lines = _hand_written(root, tracked)
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}
    shipped = {name: count for name, count in lines.items() if not name.startswith("tests/")}
    assert not {name: count for name, count in shipped.items() if count > MAX_LINES_SHIPPED}


def test_file_names_differ_by_more_than_case(root: Path, tracked: list[Path]) -> None:
    names = Counter(str(path.relative_to(root)).lower() for path in tracked)
    assert not [name for name, count in names.items() if count > 1]


# --- tests ------------------------------------------------------------------------------------------------------

_CATEGORIES = {"unit", "contract", "integration", "e2e", "privacy", "bench"}
_MARK = re.compile(r"^pytestmark = (?:\[\s*)?pytest\.mark\.(\w+)", re.MULTILINE)


def test_every_test_carries_a_category(root: Path, tracked: list[Path]) -> None:
    """Without one, `make test-fast` and a category of its own would both pass it by."""
    for path in tracked:
        name = path.relative_to(root)
        if name.parts[0] == "tests" and path.name.startswith("test_"):
            found = _MARK.search(path.read_text())
            assert found, f"{name} has no pytestmark"
            assert found[1] in _CATEGORIES, name
