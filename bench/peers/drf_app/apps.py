"""Django's configuration of this application."""

from django.apps import AppConfig


class Peer(AppConfig):
    """This application."""

    name = "bench.peers.drf_app"
    label = "peer"
