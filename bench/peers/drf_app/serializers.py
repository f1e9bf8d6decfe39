"""Serializers of responses and of request bodies."""

from django.core.validators import RegexValidator
from django.db import transaction
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from bench.peers.drf_app.models import (
    Award,
    City,
    Initiative,
    InitiativeAward,
    InitiativeMetric,
    InitiativePartner,
    InitiativePriority,
    Priority,
)

SLUG = RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*\Z")
EDTF = RegexValidator(r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?\Z")


class CitySerializer(serializers.ModelSerializer):
    """A city."""

    class Meta:
        """Its members."""

        model = City
        fields = ("id", "name", "state", "country", "state_capital", "summary")


class PartnerSerializer(serializers.ModelSerializer):
    """An organization that takes part."""

    class Meta:
        """Its members."""

        model = InitiativePartner
        fields = ("organization", "role")


class MetricSerializer(serializers.ModelSerializer):
    """A figure."""

    as_of = serializers.CharField(allow_null=True, default=None, validators=[EDTF])

    class Meta:
        """Its members."""

        model = InitiativeMetric
        fields = ("name", "kind", "value", "unit", "qualifier", "as_of")


class InitiativeSerializer(serializers.ModelSerializer):
    """An initiative in a response."""

    city = CitySerializer()
    awards = serializers.SlugRelatedField("award_id", source="award_links", many=True, read_only=True)
    priorities = serializers.SlugRelatedField("priority_id", source="priority_links", many=True, read_only=True)
    partners = PartnerSerializer(many=True)
    metrics = MetricSerializer(many=True)

    class Meta:
        """Its members."""

        model = Initiative
        fields = (
            *("id", "title", "summary", "status", "started", "parent", "city"),
            *("awards", "priorities", "partners", "metrics"),
        )


class InitiativeCreateSerializer(serializers.ModelSerializer):
    """An initiative in a request."""

    id = serializers.CharField(max_length=200, validators=[SLUG, UniqueValidator(Initiative.objects.all())])
    started = serializers.CharField(allow_null=True, default=None, validators=[EDTF])
    awards = serializers.PrimaryKeyRelatedField(queryset=Award.objects.all(), many=True, default=list)
    priorities = serializers.PrimaryKeyRelatedField(queryset=Priority.objects.all(), many=True, default=list)
    partners = PartnerSerializer(many=True, default=list)
    metrics = MetricSerializer(many=True, default=list)

    class Meta:
        """Its members."""

        model = Initiative
        fields = InitiativeSerializer.Meta.fields

    @transaction.atomic
    def create(self, validated_data):
        """Write the initiative and its parts."""
        parts = {name: validated_data.pop(name) for name in ("awards", "priorities", "partners", "metrics")}
        initiative = Initiative.objects.create(**validated_data)
        InitiativeAward.objects.bulk_create(InitiativeAward(initiative=initiative, award=award) for award in parts["awards"])
        InitiativePriority.objects.bulk_create(
            InitiativePriority(initiative=initiative, priority=priority, position=place)
            for place, priority in enumerate(parts["priorities"])
        )
        InitiativePartner.objects.bulk_create(
            InitiativePartner(initiative=initiative, position=place, **part) for place, part in enumerate(parts["partners"])
        )
        InitiativeMetric.objects.bulk_create(
            InitiativeMetric(initiative=initiative, position=place, **part) for place, part in enumerate(parts["metrics"])
        )
        return initiative

    def to_representation(self, instance):
        """Return the initiative as a response has it."""
        return InitiativeSerializer(instance).data
