"""Addresses, credentials and client settings of S3 servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_REGION = "us-east-1"
#: A missing file; dvc-s3 would try to read /dev/null.
_NO_FILE = "/dev/null/none"


@dataclass(frozen=True)
class S3Server:
    """An S3 server on this machine and its credentials."""

    endpoint_url: str
    key: str
    secret: str

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options of fsspec (s3fs) for ``s3://`` URLs."""
        return {"key": self.key, "secret": self.secret, "endpoint_url": self.endpoint_url}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point boto3, s3fs and DVC to this server only."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": _NO_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": _NO_FILE,
        }

    def files(self, **options: Any) -> Any:
        """Return a new s3fs file system without caches."""
        import s3fs

        return s3fs.S3FileSystem(**self.storage_options, use_listings_cache=False, skip_instance_cache=True, **options)

    def make_bucket(self, name: str) -> str:
        """Create an empty bucket, or replace an existing bucket; return its URL."""
        files = self.files()
        if files.exists(name):
            files.rm(name, recursive=True)
        files.mkdir(name)
        return f"s3://{name}"
