"""Django REST framework on the existing tables, run by gunicorn."""
