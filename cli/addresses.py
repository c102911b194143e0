"""Checks the address that the gateway is to listen on, and tells its URL."""

import errno
import ipaddress
import socket

from shared.errors import ConfigurationError, ServiceError
from shared.settings import GatewaySettings

_NOT_OURS = {errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT}


def require_address(settings: GatewaySettings, *, by_option: bool) -> None:
    """Check that the gateway can listen on its host and port.

    Parameters
    ----------
    settings : GatewaySettings
        Settings with host and port.
    by_option : bool
        Whether the host was given by ``--host`` instead of the variable.

    Raises
    ------
    ConfigurationError
        If the host is no address of this machine.
    ServiceError
        If the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise _wrong_host(settings.host, by_option, getattr(error, "strerror", None) or "no name") from None
    for family, kind, protocol, _, address in found:  # the server listens on all of them
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno in _NOT_OURS:
                raise _wrong_host(settings.host, by_option, str(error.strerror)) from None
            raise ServiceError(
                f"The gateway cannot listen on {_in_url(settings.host)}:{settings.port}: {error.strerror}. "
                "Choose another port: movierec up --port N, or make up PORT=N."
            ) from None


def _wrong_host(host: str, by_option: bool, reason: str) -> ConfigurationError:
    advice = "Name one of its addresses, such as --host 127.0.0.1, or 0.0.0.0 for all."
    if by_option:
        return ConfigurationError(f"--host {host} is no address of this machine ({reason}). {advice}")
    return ConfigurationError(
        f"The variable HOST is {host!r}, which is no address of this machine ({reason}). {advice} "
        "Conda sets HOST to the name of a platform; unset it, or give --host, which wins."
    )


def base_url(settings: GatewaySettings) -> str:
    """Return the URL of the gateway for this machine."""
    host = settings.host
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:  # a name
        pass
    return f"http://{_in_url(host)}:{settings.port}"


def _in_url(host: str) -> str:
    return f"[{host.replace('%', '%25')}]" if ":" in host else host
