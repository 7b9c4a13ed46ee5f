"""The application: routes, answers and the API's description."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from rasterio.errors import RasterioError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

from swath import __version__
from swath.errors import DataError, SettingError, SwathError
from swath.service.answers import (
    ErrorAnswer,
    ExplainAnswer,
    ModelAnswer,
    ModelsAnswer,
    PredictAnswer,
    StateAnswer,
    TileJsonAnswer,
    explained_answer,
    image_answer,
    model_answer,
)
from swath.service.batching import ClientGoneError, TimeOverError
from swath.service.core import Service
from swath.service.gate import GONE, Gate, error_body
from swath.service.intake import IMAGES_BODY, SCENE_BODY, RefusedError, Upload, read_body, uploads_of
from swath.service.jobs import Job, Jobs
from swath.service.metrics import CONTENT_TYPE
from swath.service.settings import ServiceSettings

ABOUT = """Classify satellite patches with swath's models.

Send images as `multipart/form-data`, one image as it is, or JSON with base64. Every error is one sentence that names a
fix. Answers carry `X-Request-Id`, yours if you send one."""
T = TypeVar("T")
_ERRORS = {
    400: "The request cannot be read.",
    401: "The API key is missing or wrong.",
    403: "The request comes from another web site's page, or from another machine without an API key.",
    404: "There is no such model, job, file or tile.",
    408: "The body did not come in time.",
    409: "The model's file cannot take over, or the map is not finished or has no place on a web map.",
    413: "The body is too long or holds too many images.",
    415: "The body is of another type.",
    422: "An image or a parameter cannot be used.",
    429: "The service is busy; Retry-After says when to try again.",
    500: "The service failed.",
    503: "The service is not ready.",
    504: "The answer was not ready in time.",
}
ModelName = Annotated[str | None, Query(description="Name of a model; by default the first one.", max_length=200)]
ClassName = Annotated[
    str | None, Query(alias="class", description="Explain this class instead of the predicted one.", max_length=200)
]
Stride = Annotated[int | None, Query(ge=1, le=4096, description="Step between windows in pixels.")]
Rescale = Annotated[
    str,
    Query(
        pattern=r"^(auto|off|match|(l1c|l2a|tci)(:\d{1,5}(\.\d{1,6})?){0,2}"
        r"|-?\d{1,9}(\.\d{1,6})?:-?\d{1,9}(\.\d{1,6})?)$",
        description="How the scene was drawn, as --rescale of swath map takes it: auto, l1c, l2a, tci:3558, 0:2750 …",
    ),
]
Layer = Annotated[
    Literal["classes", "confidence"],
    Query(description="The classes, hatched where the ground is unlike the training data, or how sure they are."),
]
TileNumber = Annotated[int, Path(description="As web maps count tiles (XYZ), from the upper left corner of the world.")]
_TILE = "/v1/maps/{job}/{z}/{x}/{y}"
_KEPT = "private, max-age=3600"  # a finished map does not change, but it may be deleted
MOST_EXPLAINED = 8
Seconds = Annotated[
    float | None, Query(description="Seconds after which the answer is of no use; the service has a limit too.", gt=0)
]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the API's description says of these statuses."""
    return {status: {"model": ErrorAnswer, "description": _ERRORS[status]} for status in statuses}


_OF_IMAGES = errors(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)


def make_app(
    settings: ServiceSettings,
    *,
    failed: Callable[[BaseException], None] = lambda _: None,
    started: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Make the application; its lifespan loads the models and starts the decoders.

    Parameters
    ----------
    settings : ServiceSettings
        Models and limits.
    failed : callable, optional
        Called with the error if the service cannot start; by default it is never ready.
    started : callable, optional
        Called when all is loaded, before the first request is answered.

    Examples
    --------
    >>> from swath.service.app import make_app
    >>> from swath.service.settings import ServiceSettings
    >>> sorted(make_app(ServiceSettings()).openapi()["paths"])[:3]
    ['/healthz', '/metrics', '/readyz']
    """
    service = Service(settings, failed=failed, started=started)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.open()
        yield
        await service.close()

    # No page of documentation: its scripts would come from other machines. No reports to them either.
    app = FastAPI(
        title="swath",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    app.add_middleware(Gate, api_key=key, admission=service.admission, metrics=service.metrics)
    _add_errors(app)
    _add_state(app, service)
    _add_predict(app, service)
    _add_explain(app, service)
    if service.jobs is not None:
        _add_maps(app, service, service.jobs)
        _add_tiles(app, service, service.jobs)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every error as one sentence in one shape."""

    def answer(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
        body = error_body(sentence, request.state.request_id)
        return Response(body, status, headers, media_type="application/json")

    async def refused(request: Request, error: Any) -> Response:
        return answer(request, error.status, str(error), error.headers)

    async def mistake(request: Request, error: Exception) -> Response:
        # A model that cannot run is the service's fault; what is wrong with an image or a setting is the client's.
        status = 422 if isinstance(error, DataError | SettingError) else 500
        return answer(request, status, str(error))

    async def over(request: Request, error: Exception) -> Response:
        return answer(request, 504, str(error))

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=GONE)

    async def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        place = " ".join(str(part) for part in first["loc"])
        return answer(request, 422, f"{place}: {first['msg']}")

    async def http(request: Request, error: Any) -> Response:
        said = {404: "there is no such address; see /openapi.json", 405: "the method is not allowed; see /openapi.json"}
        headers = dict(error.headers or {})
        return answer(request, error.status_code, said.get(error.status_code, str(error.detail)), headers)

    for kind, handler in (
        (RefusedError, refused),
        (TimeOverError, over),
        (ClientGoneError, gone),
        (SwathError, mistake),
        (RequestValidationError, invalid),
        (HTTPException, http),
    ):
        app.add_exception_handler(kind, handler)


def _add_state(app: FastAPI, service: Service) -> None:
    """Health, readiness, metrics and models."""

    @app.get("/healthz", summary="Whether the process answers.", tags=["state"], responses=errors(403))
    async def healthz() -> StateAnswer:
        return StateAnswer(status="alive")

    @app.get("/readyz", summary="Whether every model has classified once.", tags=["state"], responses=errors(403, 503))
    async def readyz() -> StateAnswer:
        service.check_ready()
        return StateAnswer(status="ready")

    @app.get(
        "/metrics",
        summary="Numbers for Prometheus.",
        tags=["state"],
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}, **errors(401, 403)},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @app.get("/v1/models", summary="The models that are served.", tags=["models"], responses=errors(401, 403, 503))
    async def models() -> ModelsAnswer:
        service.check_ready()
        return ModelsAnswer(models=[model_answer(one) for one in service.models])

    @app.post(
        "/v1/models/{name}/reload",
        summary="Load a model's file again and let it take over.",
        description="Requests under way end with the old model; none is dropped. A file that cannot be used changes "
        "nothing.",
        tags=["models"],
        responses=errors(401, 403, 404, 409, 422, 503),
    )
    async def reload(name: str) -> ModelAnswer:
        service.model(name)
        try:
            new = await service.models.reload(name)
        except (SwathError, OSError) as error:
            raise RefusedError(409, f"the model stays as it was: {error}") from error
        service.metrics.reloads.labels(name).inc()
        return model_answer(new)


@contextlib.asynccontextmanager
async def uploaded(request: Request, service: Service, *, max_images: int | None = None) -> AsyncIterator[list[Upload]]:
    """Read the images of a request that was let in, and give back the memory of its body when it is answered."""
    held = 0
    limits = service.settings
    try:
        body = await read_body(
            request.receive,
            request.headers,
            max_bytes=limits.max_bytes,
            seconds=limits.timeout,
            admission=service.admission,
        )
        held = len(body)
        uploads = await uploads_of(
            body, request.headers, max_images=min(max_images or limits.max_images, limits.max_images)
        )
        request.state.facts |= {"images": len(uploads), "bytes": held}
        yield uploads
    finally:
        service.admission.bodies -= held


def _add_predict(app: FastAPI, service: Service) -> None:
    seconds = service.settings.timeout

    @app.post(
        "/v1/predict",
        summary="Classify images.",
        description="All images of a request are answered, or none: an image that cannot be used is named.",
        tags=["images"],
        response_class=JSONResponse,
        responses={200: {"model": PredictAnswer}, **_OF_IMAGES},
        openapi_extra={"requestBody": IMAGES_BODY},
    )
    async def predict(request: Request, model: ModelName = None, timeout: Seconds = None) -> Response:
        served = service.model(model)
        async with uploaded(request, service) as uploads:
            left = min(timeout or seconds, seconds) - (time.perf_counter() - request.state.start)
            found, work = await service.classify(served, uploads, request.receive, seconds=left)
        request.state.facts |= {
            "model": served.name,
            "queue_seconds": round(work.queued_seconds, 6),
            "engine_seconds": round(work.engine_seconds, 6),
        }
        service.count(served, found)
        if service.log is not None:
            service.log.add(request.state.request_id, served, uploads, found)
        answers = [
            image_answer(upload.name, one, size) for upload, one, size in zip(uploads, found, work.sizes, strict=True)
        ]
        said = {
            "model": served.name,
            "version": served.version,
            "request_id": request.state.request_id,
            "images": answers,
        }
        return Response(json.dumps(said), media_type="application/json")


def _add_explain(app: FastAPI, service: Service) -> None:
    seconds = service.settings.timeout

    @app.post(
        "/v1/explain",
        summary="Map the evidence for a class in images.",
        description=f"Of {MOST_EXPLAINED} images at most; each map comes as numbers and as a picture.",
        tags=["images"],
        responses=_OF_IMAGES,
        openapi_extra={"requestBody": IMAGES_BODY},
    )
    async def explain(
        request: Request, model: ModelName = None, class_name: ClassName = None, timeout: Seconds = None
    ) -> ExplainAnswer:
        served = service.model(model)
        async with uploaded(request, service, max_images=MOST_EXPLAINED) as uploads:
            left = min(timeout or seconds, seconds) - (time.perf_counter() - request.state.start)
            found = await service.explain(served, uploads, request.receive, class_name=class_name, seconds=left)
            request.state.facts |= {"model": served.name}
            bands = served.classifier.record.input.bands
            answers = [
                await service.aside(explained_answer, upload.name, one, bands)
                for upload, one in zip(uploads, found, strict=True)
            ]
        return ExplainAnswer(
            model=served.name, version=served.version, request_id=request.state.request_id, images=answers
        )


def _add_maps(app: FastAPI, service: Service, jobs: Jobs) -> None:
    seen = errors(401, 403, 404)

    @app.post(
        "/v1/map",
        summary="Have a scene mapped.",
        description="The body is a GeoTIFF or another raster with the model's bands. The answer names a job.",
        tags=["maps"],
        status_code=202,
        responses=errors(400, 401, 403, 404, 408, 413, 422, 429, 500, 503),
        openapi_extra={"requestBody": SCENE_BODY},
    )
    async def add(
        request: Request, response: Response, model: ModelName = None, stride: Stride = None, rescale: Rescale = "auto"
    ) -> Job:
        served = service.model(model)
        job = await jobs.add(request.receive, model=served.name, stride=stride, rescale=rescale)
        response.headers["Location"] = f"/v1/map/{job.id}"
        return job

    @app.get("/v1/map/{job}", summary="What has become of a job.", tags=["maps"], responses=seen)
    async def get(job: str) -> Job:
        return jobs.get(job)

    @app.delete("/v1/map/{job}", summary="Cancel a job and delete all there is of it.", tags=["maps"], responses=seen)
    async def remove(job: str) -> Job:
        return await jobs.remove(job)

    @app.get(
        "/v1/map/{job}/files/{file}",
        summary="A file that a job made: the class raster is map.tif.",
        tags=["maps"],
        response_class=FileResponse,
        responses={200: {"content": {"application/octet-stream": {}}}, **seen},
    )
    async def file(job: str, file: str) -> FileResponse:
        return FileResponse(jobs.file(job, file), media_type="application/octet-stream", filename=file)


def _add_tiles(app: FastAPI, service: Service, jobs: Jobs) -> None:
    # What reads tiles takes 100 MB, which a service without maps has no use for.
    from swath.service.tiles import SIDE, draw_tile, read_map  # noqa: PLC0415

    wrong = errors(401, 403, 404, 409, 422, 429, 500, 504)

    @app.get(
        "/v1/maps/{job}/tilejson.json",
        summary="Where the tiles of a finished map are, and what their colors mean (TileJSON).",
        tags=["maps"],
        responses=wrong,
    )
    async def tilejson(request: Request, job: str, layer: Layer = "classes") -> TileJsonAnswer:
        shown = await _of_map(jobs, job, service.draw(request.is_disconnected, read_map, jobs.record(job)))
        west, south, east, north = shown.bounds
        if east > 180:
            west, east = -180.0, 180.0
        query = "" if layer == "classes" else f"?layer={layer}"
        return TileJsonAnswer(
            tilejson="2.2.0",
            name=f"{layer} by {shown.model}",
            scheme="xyz",
            tiles=[f"{str(request.base_url).rstrip('/')}{_TILE.replace('{job}', job)}.png{query}"],
            minzoom=0,
            maxzoom=shown.max_zoom,
            bounds=[west, south, east, north],
            center=[*shown.center, shown.fit_zoom],
            colors=shown.colors[layer],
        )

    async def drawn(request: Request, job: str, z: int, x: int, y: int, layer: Layer, side: int) -> Response:
        record = jobs.record(job)
        headers = {"ETag": f'"{job}-{__version__}"', "Cache-Control": _KEPT}
        held = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
        if headers["ETag"] in held:
            return Response(status_code=304, headers=headers)

        def draw() -> bytes:
            return draw_tile(read_map(record), z, x, y, layer=layer, side=side)

        return Response(
            await _of_map(jobs, job, service.draw(request.is_disconnected, draw)), 200, headers, "image/png"
        )

    answers: dict[int | str, dict[str, Any]] = {
        200: {
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
                "Cache-Control": {"description": "How long to keep it.", "schema": {"type": "string"}},
            },
        },
        304: {"description": "The tile is the one that the client has, by If-None-Match."},
        **wrong,
    }

    # The longer address comes first: the other one would take it for a tile called 5@2x.
    @app.get(
        f"{_TILE}@2x.png",
        summary=f"A tile of {2 * SIDE} pixels, for dense screens.",
        tags=["maps"],
        response_class=Response,
        responses=answers,
    )
    async def large_tile(
        request: Request, job: str, z: TileNumber, x: TileNumber, y: TileNumber, layer: Layer = "classes"
    ) -> Response:
        return await drawn(request, job, z, x, y, layer, 2 * SIDE)

    @app.get(
        f"{_TILE}.png",
        summary=f"A tile of a finished map: {SIDE} pixels, Web Mercator.",
        description="Transparent where the map has nothing, also outside its bounds.",
        tags=["maps"],
        response_class=Response,
        responses=answers,
    )
    async def tile(
        request: Request, job: str, z: TileNumber, x: TileNumber, y: TileNumber, layer: Layer = "classes"
    ) -> Response:
        return await drawn(request, job, z, x, y, layer, SIDE)


async def _of_map(jobs: Jobs, job: str, work: Awaitable[T]) -> T:
    """What is drawn of a map, or 404 if the map was deleted meanwhile."""
    try:
        return await work
    except (OSError, RasterioError):
        jobs.get(job)
        raise
