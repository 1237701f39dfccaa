"""The section ``ingest`` of the configuration, and who may reach the receiver."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from monitor.errors import ConfigError
from monitor.ingest.limits import PayloadLimits
from monitor.settings import ByteSize, Settings


class IngestSettings(Settings):
    """Where samples are received, how much at once, and who may send them."""

    listen: str = Field(default="127.0.0.1:8080", description="host:port of the receiver")
    queue: int = Field(default=10_000, ge=1, description="samples that may wait for the disk")
    queue_bytes: ByteSize = Field(default=64 * 2**20, description="text that may wait for the disk")
    maximum_body: ByteSize = Field(default=4 * 2**20, description="largest body, also once unpacked")
    maximum_text: ByteSize = Field(default=256 * 2**10, description="longest text of one sample")
    maximum_texts: int = Field(default=4096, ge=1, description="most samples in one body")
    token_file: Path | None = Field(default=None, description="a file with the bearer token")
    token_env: str | None = Field(default=None, description="an environment variable with the token")
    allow_public: bool = Field(default=False, description="listen beyond loopback without a token")
    follow: tuple[Path, ...] = Field(default=(), description="JSONL files to follow as they grow")

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def limits(self) -> PayloadLimits:
        """The bounds that the parsers keep."""
        return PayloadLimits(
            maximum_body=self.maximum_body,
            maximum_text=self.maximum_text,
            maximum_texts=self.maximum_texts,
        )


def split_address(value: str) -> tuple[str, int]:
    """Host and port; raises ``ValueError``.

    >>> split_address("127.0.0.1:8080"), split_address("[::1]:80")
    (('127.0.0.1', 8080), ('::1', 80))
    """
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be host:port; write it as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def read_token(settings: IngestSettings, environment: Mapping[str, str]) -> str | None:
    """The bearer token from its file or variable, or None where none is configured.

    Raises ``ConfigError`` where it is configured but missing or empty; never prints it.
    """
    if settings.token_file is not None and settings.token_env is not None:
        raise ConfigError("ingest.token_env: given beside ingest.token_file; keep one of them")
    if settings.token_file is not None:
        try:
            token = settings.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise ConfigError(
                f"ingest.token_file = {settings.token_file}: cannot be read ({reason}); "
                "write the token into that file"
            ) from error
        key = f"ingest.token_file = {settings.token_file}"
    elif settings.token_env is not None:
        token = environment.get(settings.token_env, "").strip()
        key = f"ingest.token_env = {settings.token_env}"
    else:
        return None
    if not token:
        raise ConfigError(f"{key}: holds no token; put one there, or remove the setting")
    return token


def check_exposure(settings: IngestSettings, token: str | None) -> None:
    """Refuse to listen beyond loopback for everyone, unless that was asked for."""
    host, _ = split_address(settings.listen)
    if token is None and not settings.allow_public and not _is_loopback(host):
        raise ConfigError(
            f"ingest.listen = {settings.listen}: other machines could send samples without a token; "
            "set ingest.token_file, listen on 127.0.0.1, or set ingest.allow_public: true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
