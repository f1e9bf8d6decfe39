"""The application's name among Django's."""

from django.apps import AppConfig


class Peer(AppConfig):
    """This application."""

    name = "bench.peers.drf_app"
    label = "peer"
