"""Metrics as a scraper reads them."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families

PREFIX = "digital_cities_"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return each sample by its name without our prefix, and its labels."""
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {
        (row.name.removeprefix(PREFIX), frozenset(row.labels.items())): row.value
        for family in families
        for row in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels, and maybe more."""
    wanted = labels.items()
    return sum(number for (key, has), number in found.items() if key == name and wanted <= has)
