"""The WSGI entry point: ``granian wsgi:app``, ``gunicorn wsgi:app``, ``flask --app wsgi``."""

import gc

from api.app import create_app
from api.settings import SettingsError

try:
    app = create_app()
except SettingsError as error:
    # A mistyped variable is the operator's to mend: one line tells them more than a trace.
    raise SystemExit(f"digital-cities-api: {error}") from None
# What is there now stays: to look through it again takes the collector a tenth of a second, in the middle of a request.
gc.collect()
gc.freeze()
