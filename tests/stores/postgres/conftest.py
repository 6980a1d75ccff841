"""One server for all tests here."""

from __future__ import annotations

import uuid

import pytest

from stores.postgres.server import fresh, live, run, shared, with_options


def _schema(url):
    """A schema of this session."""
    schema = f"samespace_{uuid.uuid4().hex[:8]}"
    yield with_options(url, schema=schema)
    run(url, f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(scope="session")
def database():
    """The URL of our server, whose roles and databases tests may change."""
    yield from _schema(shared())


@pytest.fixture(scope="session")
def anywhere():
    """The URL of the server that ``DATABASE_URL`` names, or of ours."""
    yield from _schema(live())


@pytest.fixture
def place(database):
    """The URL of a collection that is not there."""
    return fresh(database)
