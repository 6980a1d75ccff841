"""Embedding at scale: shards of rows into a collection, on this machine or on many."""

from samespace.scale.bulk import EmbedReport, embed
from samespace.scale.work import Job

__all__ = ["EmbedReport", "Job", "embed"]
