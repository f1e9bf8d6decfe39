"""The Digital Cities API: city-government technology awards, each fact with its source."""

__version__ = "0.2.0"
