"""The views."""

from django.db.models import Count, F
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from django_filters.rest_framework import CharFilter, DjangoFilterBackend, FilterSet
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.filters import SearchFilter
from rest_framework.response import Response

from bench.peers.drf_app.models import Initiative
from bench.peers.drf_app.serializers import InitiativeCreateSerializer, InitiativeSerializer

VALUES = 100


class InitiativeFilter(FilterSet):
    """The filters of initiatives."""

    priority = CharFilter("priority_links__priority_id")


class InitiativeViewSet(mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Initiatives."""

    queryset = Initiative.objects.select_related("city").prefetch_related(
        "award_links", "priority_links", "partners", "metrics"
    )
    lookup_value_regex = "[^/]+"
    filter_backends = (DjangoFilterBackend, SearchFilter)
    filterset_class = InitiativeFilter
    search_fields = ("title", "summary")

    def get_serializer_class(self):
        """Return the serializer of requests or of responses."""
        return InitiativeCreateSerializer if self.action == "create" else InitiativeSerializer

    @action(detail=False, url_path="by-city")
    def by_city(self, request):  # noqa: ARG002 - the interface's
        """Return counts by city."""
        matching = self.filter_queryset(Initiative.objects.order_by())
        counts = matching.values(value=F("city_id"), label=F("city__name")).annotate(count=Count("pk"))
        return Response(counts.order_by("-count", "value")[:VALUES])


@method_decorator(conditional_page, name="dispatch")
class PolledViewSet(InitiativeViewSet):
    """The same with the ETag that Django computes from the response."""
