"""Reaches the network by the proxies and certificates that the environment names.

httpx reads the same variables, but a wrong one ends in whatever error its parts raise. A wrong setting must
never look like a network that is not there: that may be made up for, a setting not.
"""

import os
import ssl
import urllib.request
from dataclasses import dataclass

import httpx

from shared.errors import ConfigurationError


def open_client(timeout: httpx.Timeout) -> httpx.Client:
    """Return a client that goes by the proxies of the environment and follows redirects.

    Raises
    ------
    ConfigurationError
        If HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR makes no sense; a request raises
        it if the proxy cannot be reached, or wants another password.
    """
    return httpx.Client(transport=_Transport(), timeout=timeout, follow_redirects=True)


@dataclass(frozen=True)
class _Named:
    """A proxy, and the variable that names it."""

    variable: str
    value: str

    def wrong(self, reason: str) -> ConfigurationError:
        """Return the error that names the variable; the value may have a password in it."""
        return ConfigurationError(
            f"The proxy that {self.variable} names {reason}. Correct or unset {self.variable}."
        )


def proxy_for(url: httpx.URL) -> _Named | None:
    """Return which proxy the environment names for an address, None if it is reached directly."""
    address = f"{url.host}:{url.port}" if url.port and ":" not in url.host else url.host
    excepted = {entry.strip(" []") for entry in _first("no_proxy").value.split(",")}
    if url.host in excepted or urllib.request.proxy_bypass(address):
        return None
    for name in (f"{url.scheme}_proxy", "all_proxy"):
        named = _first(name)
        if named.value:
            return named
    return None


def _first(name: str) -> _Named:
    """Return the value of a variable that is written small or, less often meant, large."""
    variable = name if name in os.environ else name.upper()
    return _Named(variable, os.environ.get(variable, "").strip())


class _Transport(httpx.BaseTransport):
    """Sends each request directly or by its proxy."""

    def __init__(self) -> None:
        self._certificates = _certificates()
        self._ways: dict[_Named | None, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(request.url)
        if proxy not in self._ways:
            self._ways[proxy] = self._open(proxy)
        way = self._ways[proxy]
        if proxy is None:
            return way.handle_request(request)
        try:
            return way.handle_request(request)
        except httpx.ProxyError as error:
            if str(error).startswith("407"):
                raise proxy.wrong("wants another user or password") from error
            raise
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if is_certificate_failure(error):
                raise
            raise proxy.wrong(f"cannot be reached: {str(error) or type(error).__name__}") from error

    def _open(self, proxy: _Named | None) -> httpx.HTTPTransport:
        if proxy is None:
            return httpx.HTTPTransport(verify=self._certificates)
        try:
            text = proxy.value if "://" in proxy.value else f"http://{proxy.value}"
            if not httpx.URL(text).host:
                raise proxy.wrong("has no host; a proxy looks like http://host:port")
            return httpx.HTTPTransport(verify=self._certificates, proxy=httpx.Proxy(text))
        except ImportError:
            raise proxy.wrong("speaks SOCKS, for which the package socksio is not installed") from None
        except (ValueError, httpx.InvalidURL):
            raise proxy.wrong("is no address; a proxy looks like http://host:port") from None

    def close(self) -> None:
        for way in self._ways.values():
            way.close()


def _certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        named = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
        if named is None:
            raise
        raise ConfigurationError(
            f"{named} holds no certificates that can be read: {error.strerror}."
        ) from error


def is_certificate_failure(error: BaseException | None) -> bool:
    """Tell whether a connection failed because of a certificate, and not of the network."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
