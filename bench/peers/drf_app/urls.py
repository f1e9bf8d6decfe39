"""The URLs."""

from rest_framework.routers import DefaultRouter

from bench.peers.drf_app.views import InitiativeViewSet, PolledViewSet

router = DefaultRouter()
router.register("initiatives", InitiativeViewSet)
router.register("polled", PolledViewSet, basename="polled")
urlpatterns = router.urls
