"""Clips, feature stores and runs at an address: `s3://bucket/clips`, `gs://…`, any file system that fsspec knows.

Commands work on a mirror, a folder in the cache. New files at the address are downloaded first; files that a command
has changed are uploaded every minute and at the end. Nothing is ever removed at an address. Objects are replaced as a
whole, and files that refer to others come last, so that a reader never finds a file without those that it refers to.
`watch` reads a video in parts as needed, without a mirror (`storage.remote_video`).

The file systems of fsspec find credentials themselves, in the environment or in their own files; addresses do not
contain any. `file:///folder` is the folder itself.
"""

from onlooker.storage.address import StorageError, is_address
from onlooker.storage.cache import address_of, clear_mirrors, local, mirrored, mirrors, path_or_address
from onlooker.storage.mirror import Mirror

__all__ = [
    "Mirror",
    "StorageError",
    "address_of",
    "clear_mirrors",
    "is_address",
    "local",
    "mirrored",
    "mirrors",
    "path_or_address",
]
