"""A database as one file as of one moment, and back.

The file is a zip. `<collection>.bson` holds the documents one after the other, as MongoDB stores them and as mongodump
writes them; `manifest.json` comes last and tells of every collection how many there are and their SHA-256. Neither
indexes nor validators are in it: whoever restores makes those of the release that is to serve.

All collections are read in one snapshot session. MongoDB keeps what that needs for five minutes
(`minSnapshotHistoryWindowInSeconds`); a reading that takes longer fails, and leaves no file.
"""

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import bson
import msgspec
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

FORMAT = 1
MANIFEST = "manifest.json"
SUFFIX = ".bson"
CHUNK_BYTES = 1 << 20
MAX_BATCH_BYTES = 8_000_000
MAX_BATCH = 1_000
RAW = CodecOptions(document_class=RawBSONDocument)

Client = MongoClient[RawBSONDocument]


class BackupError(Exception):
    """It was not saved or restored. One sentence that says why."""


class Held(msgspec.Struct, frozen=True):
    """What the file has of one collection."""

    documents: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What the file is. `as_of` is when reading began, by MongoDB's clock; what was acknowledged before is in it."""

    format: int
    database: str
    as_of: datetime
    collections: dict[str, Held]

    @property
    def documents(self) -> int:
        return sum(held.documents for held in self.collections.values())


def connect(url: str) -> Client:
    return MongoClient(url, document_class=RawBSONDocument, timeoutMS=60_000, appname="q-less backup")


def save(client: Client, database: str, file: Path) -> Manifest:
    """Write the whole database to a file that only its owner can read; it is there when it is whole.

    Raises:
        BackupError: there is a file of this name, or the database is empty.
        pymongo.errors.PyMongoError: MongoDB did not answer, or no longer has the snapshot.
    """
    if file.exists():
        raise BackupError(f"{file} exists already.")
    source = client.get_database(database, RAW)
    names = sorted(name for name in source.list_collection_names() if not name.startswith("system."))
    if not names:
        raise BackupError(f"There is nothing in the database {database}.")
    handle, unfinished = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                as_of = client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
                with client.start_session(snapshot=True) as session:
                    held = {name: _save_one(archive, source[name], session) for name in names}
                manifest = Manifest(FORMAT, database, as_of, held)
                archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            out.flush()
            os.fsync(out.fileno())
        os.link(unfinished, file)  # unlike a renaming it replaces nothing
    finally:
        os.unlink(unfinished)
    return manifest


def _save_one(
    archive: zipfile.ZipFile, source: "Collection[RawBSONDocument]", session: ClientSession
) -> Held:
    documents, size, digest = 0, 0, hashlib.sha256()
    with archive.open(source.name + SUFFIX, "w", force_zip64=True) as member:
        for document in source.find({}, session=session, batch_size=MAX_BATCH):
            member.write(document.raw)
            digest.update(document.raw)
            documents, size = documents + 1, size + len(document.raw)
    return Held(documents, size, digest.hexdigest())


def check(file: Path) -> Manifest:
    """Read all of the file against its manifest.

    Raises:
        BackupError: it is no backup, was cut off or changed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            if manifest.format != FORMAT:
                raise BackupError(f"{file} has format {manifest.format}; this release reads {FORMAT}.")
            for name, held in manifest.collections.items():
                with archive.open(name + SUFFIX) as member:
                    if _digest(member) != held.sha256:
                        raise BackupError(f"{file} is damaged: {name} is not what the manifest says.")
    except FileNotFoundError:
        raise BackupError(f"There is no {file}.") from None
    except (OSError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise BackupError(f"{file} is no backup, or damaged: {type(error).__name__}.") from None
    return manifest


def _digest(member: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := member.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def restore(client: Client, database: str, file: Path, *, replace: bool = False) -> Manifest:
    """Put what the file holds into a database; the whole file is checked first.

    Args:
        replace: drop what is in the database.

    Raises:
        BackupError: the file is damaged, the database is not empty, or not all of it arrived.
        pymongo.errors.PyMongoError: MongoDB did not answer; the database holds a part.
    """
    manifest = check(file)
    target = client.get_database(database, RAW, write_concern=WriteConcern(w="majority", j=True))
    if replace:
        client.drop_database(database)
    elif any(target[name].find_one() is not None for name in target.list_collection_names()):
        raise BackupError(f"The database {database} is not empty; nothing was changed.")
    with zipfile.ZipFile(file) as archive:
        for name, held in manifest.collections.items():
            with archive.open(name + SUFFIX) as member:
                for batch in _batches(member):
                    target[name].insert_many(batch, ordered=False)
            if (found := target[name].count_documents({})) != held.documents:
                raise BackupError(f"Of {held.documents} documents of {name} {found} arrived.")
    return manifest


def _batches(member: IO[bytes]) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    size = 0
    for document in bson.decode_file_iter(member, RAW):
        batch.append(document)
        size += len(document.raw)
        if len(batch) == MAX_BATCH or size > MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
