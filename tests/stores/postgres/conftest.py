"""One server for all tests here."""

from __future__ import annotations

import uuid

import pytest

from stores.postgres.server import fresh, run, shared, with_options


@pytest.fixture(scope="session")
def database():
    """The URL of a database, with a schema of this session."""
    url, schema = shared(), f"samespace_{uuid.uuid4().hex[:8]}"
    yield with_options(url, schema=schema)
    run(url, f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def place(database):
    """The URL of a collection that is not there."""
    return fresh(database)
