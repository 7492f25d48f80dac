"""The list of a deployment: import, look, remove."""

from __future__ import annotations

from enum import Enum

from fastapi import FastAPI, Request

from overt_gateway.control import Control
from overt_gateway.list_import import ListImport, check_open
from overt_gateway.ports import Watchlists
from overt_gateway.schemas.v1.problems import errors
from overt_gateway.schemas.v1.watchlist import ImportOut, ListOut, RemovedOut
from overt_gateway.upload import FIELD, read_archive

_TAGS: list[str | Enum] = ["list"]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "string",
                            "format": "binary",
                            "description": "zip or tar.gz, at most 64 MB: manifest.csv and the pictures it names",
                        }
                    },
                }
            }
        },
    }
}


def register(app: FastAPI, *, control: Control, watchlists: Watchlists, importer: ListImport) -> None:
    """Adds the routes."""

    @app.get("/v1/deployments/{deployment}/list", tags=_TAGS, responses=errors(401, 403, 404, 409))
    async def get_list(deployment: str) -> ListOut:
        """Who is on it, without pictures or templates. Of a deployment that has ended there is no list."""
        known = (await control.get(deployment)).deployment
        return ListOut.of(deployment, known.authority, await watchlists.read(deployment))

    @app.post(
        "/v1/deployments/{deployment}/list/import",
        tags=_TAGS,
        responses=errors(401, 403, 404, 408, 409),
        openapi_extra=_BODY,
    )
    async def import_list(deployment: str, request: Request) -> ImportOut:
        """Add entries to a draft's list: rows that cannot be used are told with a reason, the others go in.

        Columns of manifest.csv: image, subject_ref, category, legal_basis, image_source, reason, expires_at
        (ISO 8601 with a zone) and, optional, under_18. Several rows of one subject_ref are several reference
        pictures of one entry. An archive with a path that leads out of it, or a link, is refused as a whole.
        """
        check_open((await control.get(deployment)).deployment)
        async with importer.reserve():
            archive = await read_archive(request)
            return ImportOut.of(await importer.run((await control.get(deployment)).deployment, archive))

    @app.delete("/v1/deployments/{deployment}/list/{entry}", tags=_TAGS, responses=errors(401, 403, 404, 409))
    async def remove_entry(deployment: str, entry: str) -> RemovedOut:
        """Takes somebody off the list, sealed or not."""
        await control.get(deployment)
        return RemovedOut(revision=await watchlists.remove(deployment, entry))
