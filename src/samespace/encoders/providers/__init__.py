"""Providers: rows of data over one small transport."""

from samespace.encoders.providers.catalogue import PROVIDERS, Model, Price, Provider
from samespace.encoders.providers.encoder import ProviderEncoder
from samespace.encoders.providers.metering import Estimate, Spent
from samespace.encoders.providers.opening import open_provider

__all__ = ["PROVIDERS", "Estimate", "Model", "Price", "Provider", "ProviderEncoder", "Spent", "open_provider"]
