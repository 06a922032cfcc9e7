"""What our pages in Airflow's UI share: who may see them, how they look, and what their addresses may hold."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Path, Request

STYLE = """
body { font: 14px sans-serif; margin: 2em } table { border-collapse: collapse }
td, th { border: 1px solid #ccc; padding: 2px 8px; text-align: left }
"""

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]*$")]
Ds = Annotated[str, Path(pattern=r"^[0-9]{8}$")]


async def signed_in(request: Request) -> None:
    """The UI's own session cookie decides."""
    from airflow.api_fastapi.core_api.security import resolve_user_from_token

    await resolve_user_from_token(request.cookies.get("_token"))


def pages(title: str) -> FastAPI:
    """An app whose every page is for whoever is signed in."""
    return FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(signed_in)])
