"""The registry of nouns, in reading order."""

from api.resources.awards import awards
from api.resources.citations import citations_about
from api.resources.cities import cities
from api.resources.credits import Credit
from api.resources.initiatives import initiatives
from api.resources.organizations import organizations
from api.resources.priorities import priorities
from api.resources.sources import sources
from api.resources.surveys import surveys
from api.schema.resource import Resource

# Only imported, because every record refers to it.
__all__ = ["BY_NAME", "RESOURCES", "SUBJECTS", "Credit"]

SUBJECTS: tuple[Resource, ...] = (surveys, cities, awards, initiatives, priorities, organizations, sources)
RESOURCES = (*SUBJECTS, citations_about(SUBJECTS))
BY_NAME = {resource.name: resource for resource in RESOURCES}
