"""The WSGI entry point: ``gunicorn api.wsgi:app``."""

import gc

# All that a start makes lives as long as the process. To look through it for garbage would take a fifth of the start.
gc.disable()

from api.app import create_app  # noqa: E402 - the imports are most of a start
from api.settings import SettingsError  # noqa: E402

try:
    app = create_app()
except SettingsError as error:
    # An operator can fix a mistyped variable from one line; a traceback would hide it.
    raise SystemExit(f"digital-cities-api: {error}") from None
# Without freezing these objects, a full collection takes 0.1 s in the middle of a request.
gc.freeze()
gc.enable()
