"""The addresses of the service: the page, and an API that programs use as the page does."""

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from mammo import __version__
from mammo.cells import for_people
from mammo.errors import InputError
from mammo.inference.answers import WARNING
from mammo.serving.guards import Guards
from mammo.serving.limits import Refused
from mammo.serving.service import Service

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
FIELDS: dict[str, Any] = {
    "films": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "DICOM or pictures"},
    "patient": _TEXTS | {"description": "a name or number for each film, or one for all"},
    "exam": _TEXTS | {"description": "likewise"},
    "laterality": _TEXTS | {"description": "left or right; empty takes what the file says"},
    "view": _TEXTS | {"description": "MLO, CC, ..."},
    "spacing_mm": _TEXTS | {"description": "the side of a pixel in mm"},
    "at": {"type": "string", "description": "x,y of the only film, for a run on lesion windows"},
    "units": {"type": "string", "description": "some of image,breast,exam,patient"},
    "force": {"type": "string", "description": "1 predicts films unlike those of the run too"},
}
FORM = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"type": "object", "required": ["films"], "properties": FIELDS}}},
    }
}
REASONS = {
    400: "the form cannot be read", 401: "a token is needed", 403: "a page of another address asks",
    411: "the size is not stated", 413: "too large, or too many films", 415: "it is no form",
    422: "no film can be answered; each row says why", 429: "too many requests wait; Retry-After says how long",
    503: "no answer in time, or the service stops",
}  # fmt: skip
RESPONSES: dict[int | str, dict[str, Any]] = {status: {"description": said} for status, said in REASONS.items()}
GUARDED: dict[int | str, dict[str, Any]] = {  # of every address
    401: {"description": "a token is needed"}, 421: {"description": "the service has not this name"},
}  # fmt: skip
CSV = "text/csv; charset=utf-8"
_WEIGHT = re.compile(r"[01](\.\d{0,3})?")


def build_app(service: Service, *, local: bool = True, token: str | None = None) -> Guards:
    """Return the application of a service.

    Args:
        service: The service, which begins and ends with the application.
        local: See `Guards`.
        token: See `Guards`.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        yield
        service.stop()

    about = f"Predictions of one model for mammograms. {WARNING}"
    app = FastAPI(
        title="mammo",
        version=__version__,
        description=about,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=GUARDED,
    )
    _add_page(app)
    _add_model(app, service)
    _add_films(app, service)
    for kind in (Refused, HTTPException, RequestValidationError, InputError, Exception):
        app.add_exception_handler(kind, _told)
    return Guards(app, local=local, token=token, card=service.card)


def _file(path: Path) -> FileResponse:
    return FileResponse(path, media_type=KINDS[path.suffix])


def _add_page(app: FastAPI) -> None:
    """Add the page, whose files are known beforehand, so that no address chooses a path."""
    files = {path.name: path for path in PAGE.iterdir() if path.suffix in KINDS}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return _file(files["index.html"])

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        if name not in files:
            raise Refused(404, "there is no such file")
        return _file(files[name])


def _add_model(app: FastAPI, service: Service) -> None:
    """Add what tells of the service and its model."""

    @app.get("/health", responses={503: {"description": "the service stops"}})
    async def health() -> JSONResponse:
        """Tell if the service answers, and how many requests wait."""
        alive = service.alive
        said = {"status": "ok" if alive else "stopping", "version": __version__, **service.admission.as_json()}
        return JSONResponse(said, 200 if alive else 503)

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Return the facts of the model, and the limits of the service."""
        return service.facts

    @app.get("/model/card", response_class=HTMLResponse, responses={404: {"description": "the model brings no card"}})
    async def card() -> HTMLResponse:
        """Return the model card."""
        if not service.card:
            raise Refused(404, "this model brings no card; mammo card writes that of its run")
        return HTMLResponse(service.card)

    @app.get("/examples/{number}", responses={404: {"description": "there is no such film"}})
    async def example(number: int) -> FileResponse:
        """Return a drawn film that the model brings with it, from 1 to the number that GET /model tells."""
        if not 1 <= number <= len(service.examples):
            raise Refused(404, f"there is no example {number}; there are {len(service.examples)}")
        one = service.examples[number - 1]
        headers = {f"film-{key.replace('_', '-')}": str(value) for key, value in one.facts.items()}
        return FileResponse(one.path, media_type="application/octet-stream", headers=headers, filename=one.path.name)


def _add_films(app: FastAPI, service: Service) -> None:
    """Add what takes films."""

    @app.post("/predict", openapi_extra=FORM, responses={200: {"content": {"text/csv": {}}}, **RESPONSES})
    async def predict(
        request: Request, format_: Annotated[Literal["json", "csv"] | None, Query(alias="format")] = None
    ) -> Response:
        """Predict films: a row for each, and for each breast, exam and patient, as JSON or CSV."""
        as_csv = format_ == "csv" or (format_ is None and prefers_csv(request.headers.get("accept", "")))
        async with service.admitted(request) as form:
            answers = await service.predict(form)
        status = 200 if answers.predicted else 422
        if as_csv:
            return Response(for_people(answers.table).to_csv(index=False), status, media_type=CSV)
        found = answers.as_json()
        if not answers.predicted:
            found["error"] = next(str(row["reason"]) for row in answers.rows if row["reason"])
        return JSONResponse(found, status)

    @app.post("/explain", openapi_extra=FORM, responses=RESPONSES)
    async def explain(request: Request) -> dict[str, Any]:
        """Return the map of one film: where it raises the answer, in a grid over the film."""
        async with service.admitted(request) as form:
            return await service.explain(form)

    @app.post("/film", openapi_extra=FORM, responses={200: {"content": {"application/octet-stream": {}}}, **RESPONSES})
    async def film(request: Request) -> Response:
        """Return the grey levels of one film, row by row, with one or two bytes each, the low one first."""
        async with service.admitted(request) as form:
            content, headers = await service.film(form)
        return Response(content, media_type="application/octet-stream", headers=headers)


def prefers_csv(accept: str) -> bool:
    """Tell if a header Accept weights CSV (`q`) more than JSON, which a client that names neither gets."""
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for kind, *more in (one.lower().replace(" ", "").split(";") for one in accept.split(",")):
        said = next((one.removeprefix("q=") for one in more if one.startswith("q=")), "1")
        weights[kind] = float(said) if _WEIGHT.fullmatch(said) else 0.0
    return weights["text/csv"] > weights["application/json"]


async def _told(request: Request, error: Exception) -> JSONResponse:
    """Return the reason of an error in one sentence."""
    if isinstance(error, Refused):
        return JSONResponse({"error": error.reason}, error.status, error.headers)
    if isinstance(error, HTTPException):
        said = {404: "there is no such address; GET /openapi.json tells those that there are"}
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another one")
            said[405] = f"this address takes {allowed}"
        return JSONResponse({"error": said.get(error.status_code, str(error.detail))}, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        return JSONResponse({"error": "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())}, 422)
    if isinstance(error, InputError):
        return JSONResponse({"error": " ".join(str(error).split())}, 422)
    return JSONResponse({"error": "an error of the service; its log tells more"}, 500)
