"""The WSGI entry point: ``granian wsgi:app``, ``gunicorn wsgi:app``, ``flask --app wsgi``."""

import gc

from api.app import create_app
from api.settings import SettingsError

try:
    app = create_app()
except SettingsError as error:
    # An operator can fix a mistyped variable from one line; a traceback would hide it.
    raise SystemExit(f"digital-cities-api: {error}") from None
# These objects live as long as the process. Without freezing them, a full collection takes 0.1 s in the middle of a request.
gc.collect()
gc.freeze()
