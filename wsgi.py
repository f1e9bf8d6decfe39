"""The WSGI entry point of a checkout: ``gunicorn wsgi:app``, ``flask --app wsgi``."""

from api.wsgi import app

__all__ = ["app"]
