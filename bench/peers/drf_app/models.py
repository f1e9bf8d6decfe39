"""Django models of the tables, which Django does not manage."""

from django.db import models


class City(models.Model):
    """A city."""

    id = models.TextField(primary_key=True)
    name = models.TextField()
    state = models.TextField()
    country = models.TextField()
    state_capital = models.BooleanField(null=True)
    summary = models.TextField(null=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "cities"


class Organization(models.Model):
    """An organization."""

    id = models.TextField(primary_key=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "organizations"


class Priority(models.Model):
    """A priority."""

    id = models.TextField(primary_key=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "priorities"


class Award(models.Model):
    """An award."""

    id = models.TextField(primary_key=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "awards"


class Initiative(models.Model):
    """Something a city did."""

    id = models.TextField(primary_key=True)
    city = models.ForeignKey(City, models.PROTECT)
    title = models.TextField()
    summary = models.TextField()
    status = models.TextField(
        choices=[(name, name) for name in ("planned", "draft", "in_development", "pilot", "in_operation", "completed")]
    )
    started = models.TextField(null=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "initiatives"
        ordering = ("title", "id")
        constraints = (models.UniqueConstraint(fields=("city", "title"), name="uq_initiatives_city_id_title"),)


class InitiativeAward(models.Model):
    """An award that credits an initiative."""

    pk = models.CompositePrimaryKey("initiative_id", "award_id")
    initiative = models.ForeignKey(Initiative, models.CASCADE, related_name="award_links")
    award = models.ForeignKey(Award, models.PROTECT)

    class Meta:
        """Its table."""

        managed = False
        db_table = "initiative_awards"
        ordering = ("award_id",)


class InitiativePriority(models.Model):
    """A priority that an initiative serves."""

    pk = models.CompositePrimaryKey("initiative_id", "priority_id")
    initiative = models.ForeignKey(Initiative, models.CASCADE, related_name="priority_links")
    priority = models.ForeignKey(Priority, models.PROTECT)
    position = models.IntegerField()

    class Meta:
        """Its table."""

        managed = False
        db_table = "initiative_priorities"
        ordering = ("position",)


class InitiativePartner(models.Model):
    """An organization that takes part."""

    pk = models.CompositePrimaryKey("initiative_id", "organization_id", "role")
    initiative = models.ForeignKey(Initiative, models.CASCADE, related_name="partners")
    organization = models.ForeignKey(Organization, models.PROTECT)
    role = models.TextField(choices=[(name, name) for name in ("coordinator", "builder", "funder", "partner", "member")])
    position = models.IntegerField()

    class Meta:
        """Its table."""

        managed = False
        db_table = "initiative_partners"
        ordering = ("position",)


class InitiativeMetric(models.Model):
    """A figure."""

    pk = models.CompositePrimaryKey("initiative_id", "position")
    initiative = models.ForeignKey(Initiative, models.CASCADE, related_name="metrics")
    position = models.IntegerField()
    name = models.TextField()
    value = models.FloatField()
    unit = models.TextField()
    kind = models.TextField(choices=[(name, name) for name in ("count", "money", "share", "change", "record")])
    qualifier = models.TextField(choices=[(name, name) for name in ("exactly", "more_than", "nearly", "at_least")])
    as_of = models.TextField(null=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "initiative_metrics"
        ordering = ("position",)
