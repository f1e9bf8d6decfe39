"""The Digital Cities API: city-government technology awards, each fact with its source."""

__version__ = "0.1.0"
