"""An uploaded file, in memory: the one part of a multipart body, or the body itself.

The framework's own form parser spools large files to a temporary directory; these are pictures of people, or
made of such, so they never touch a disk here.
"""

from __future__ import annotations

from email.message import Message

from overt.errors import Rejected
from overt.reasons import Reason
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

FIELD = "archive"


class _OnePart:
    """Callbacks of the parser. Anything but one part named `archive` is refused."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.parts = 0
        self.complete = False
        self._header = bytearray()
        self._value = bytearray()
        self._named = ""

    def on_part_begin(self) -> None:
        self.parts += 1
        self._named = ""
        if self.parts > 1:
            raise _bad("send one part only")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._named = options.get(b"name", b"").decode("latin-1")
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        if self._named != FIELD:
            raise _bad(f"the part has to be named {FIELD}")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.content += data[start:end]

    def on_end(self) -> None:
        self.complete = True


async def read_archive(request: Request) -> bytes:
    """The bytes of the part `archive`. Rejected(BAD_MESSAGE) if the body is not that.

    Raises what bounds the body (413, 408) as it happens.
    """
    boundary = _boundary(request.headers.get("content-type", ""))
    part = _OnePart()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": part.on_part_begin,
                "on_header_field": part.on_header_field,
                "on_header_value": part.on_header_value,
                "on_header_end": part.on_header_end,
                "on_headers_finished": part.on_headers_finished,
                "on_part_data": part.on_part_data,
                "on_end": part.on_end,
            },
        )
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise _bad("this body is not well-formed multipart/form-data") from None
    if not part.complete or not part.parts:
        raise _bad("the body ends before its last boundary")
    return bytes(part.content)


async def read_file(request: Request, content_type: str) -> bytes:
    """The body, which is one file as it is. Rejected(BAD_MESSAGE) if it is none of that type, or nothing.

    Raises what bounds the body (413, 408) as it happens.
    """
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    content = bytearray()
    if header.get_content_type() == content_type:
        async for chunk in request.stream():
            content += chunk
    if not content:
        raise Rejected(Reason.BAD_MESSAGE, f"send the file itself as the body: {content_type}")
    return bytes(content)


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise _bad("send multipart/form-data")
    return boundary.encode("latin-1", "replace")


def _bad(what: str) -> Rejected:
    return Rejected(Reason.BAD_MESSAGE, f"{what}: multipart/form-data with one file in the part `{FIELD}`")
