"""The pages on which the API can be read work without a network, and where a proxy forbids inline scripts."""

from html.parser import HTMLParser

import httpx
import pytest

PAGES = ["/docs", "/redoc"]


class Page(HTMLParser):
    """What a page refers to, and what strict rules would not let it do."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.forbidden: list[str] = []
        self._in: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        for name, value in attrs:
            if name in {"src", "href", "spec-url", "data-openapi"}:
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.forbidden.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.forbidden.append(data)


@pytest.mark.parametrize("path", PAGES)
def test_all_that_a_page_needs_is_served_from_here(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert page.forbidden == []
    assert len(page.addresses) >= 4
    kinds = set()
    for address in page.addresses:
        assert address.startswith("/")
        assert not address.startswith("//")
        found = client.get(address)
        assert found.status_code == 200
        assert found.content
        kinds.add(found.headers["Content-Type"].split(";")[0])
    assert kinds == {"text/javascript", "text/css", "image/png", "application/json"}


@pytest.mark.parametrize("path", PAGES)
def test_browsers_are_told_to_load_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    rules = dict(
        rule.strip().split(" ", 1) for rule in client.get(path).headers["Content-Security-Policy"].split(";")
    )
    assert rules["default-src"] == "'self'"
    assert "script-src" not in rules
    for sources in rules.values():
        assert set(sources.split()) <= {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}
    assert ("'unsafe-inline'" in str(rules)) == (path == "/redoc")  # its styles


def test_the_scripts_are_the_whole_libraries_and_do_not_travel_twice(client: httpx.Client) -> None:
    for name, words in (
        ("swagger-ui-bundle.js", "SwaggerUIBundle"),
        ("redoc.standalone.js", "Redoc"),
        ("swagger-ui.css", ".swagger-ui"),
    ):
        answer = client.get(f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert words in answer.text
        assert len(answer.content) > 100_000
        again = client.get(f"/docs/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert "validatorUrl: null" in client.get("/docs/swagger.js").text


@pytest.mark.parametrize("name", ["no.js", "__init__.py", "..%2fcore.py", "%2e%2e/core.py", "static"])
def test_no_other_file_is_served(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/docs/{name}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
