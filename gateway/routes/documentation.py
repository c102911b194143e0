"""Serves the pages on which the API can be read and tried.

Their scripts come with a package and are served from here, so that they work where there is no network, and
no page has a script of its own in it, which strict rules of a proxy would forbid.
"""

from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gateway.http.problems import NotFound
from gateway.http.responses import PUBLIC, send
from gateway.rankings.answer_cache import Answer

router = APIRouter(include_in_schema=False)

_PACKAGED = "fastapi_offline", "static"
"""Package and directory that hold Swagger UI and Redoc."""

_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
    "swagger.js": "text/javascript",
    "redoc.css": "text/css",
}

_OURS = {
    "swagger.js": b"""\
SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.openapi,
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null, // would send the document elsewhere
});
""",
    # The picture is Redoc's logo, which it would fetch from elsewhere.
    "redoc.css": b"body { margin: 0; padding: 0; }\nimg[src^=https] { display: none; }\n",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>movierec - {title}</title>
<link rel="icon" href="{root}/docs/favicon.png">
{content}
</html>
"""
_SWAGGER = """\
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-openapi="{root}/openapi.json"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script src="{root}/docs/swagger.js"></script>
</body>"""
_REDOC = """\
<link rel="stylesheet" href="{root}/docs/redoc.css">
</head>
<body>
<redoc spec-url="{root}/openapi.json"></redoc>
<script src="{root}/docs/redoc.standalone.js"></script>
</body>"""

_SWAGGER_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'"
_REDOC_POLICY = f"{_SWAGGER_POLICY}; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:"


@router.get("/")
async def index(request: Request) -> Response:
    """Lead to the documentation."""
    return RedirectResponse(f"{request.scope['root_path']}/docs")


@router.get("/docs")
async def swagger(request: Request) -> Response:
    """Show the API and let it be tried."""
    return _page(request, "Swagger UI", _SWAGGER, _SWAGGER_POLICY)


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """Show the API for reading."""
    return _page(request, "ReDoc", _REDOC, _REDOC_POLICY)


@router.get("/docs/{name}")
def file(name: str, request: Request) -> Response:
    """Send a file of the pages."""
    if name not in _MEDIA_TYPES:
        raise NotFound(f"There is no file {name[:64]!r}.")
    return send(request, _file(name), media_type=_MEDIA_TYPES[name])


@cache
def _file(name: str) -> Answer:
    package, directory = _PACKAGED
    body = _OURS[name] if name in _OURS else (files(package) / directory / name).read_bytes()
    return Answer(body, "", PUBLIC)


def _page(request: Request, title: str, content: str, policy: str) -> Response:
    root = escape(request.scope["root_path"])
    html = _PAGE.format(root=root, title=title, content=content.format(root=root))
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})
