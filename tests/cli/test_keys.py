"""`keys` on the command line."""

import re

import pytest
from click.testing import Result

from api.settings import Settings
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE


def command(settings: Settings, *arguments: str) -> Result:
    """Run a command as a shell would."""
    with serving(settings) as app:
        return app.test_cli_runner().invoke(args=["keys", *arguments])


def test_keys_on_the_command_line(settings: Settings) -> None:
    """A key is created, listed, rotated and revoked; the printed secret works."""
    made = command(settings, "create", "part-two", "--scope", "write:cities", "--scope", "write:awards", "--expires", "90d")
    assert re.fullmatch(r"dca_[A-Za-z0-9_-]{43}", made.output.strip())
    turned = command(settings, "rotate", "part-two").output.strip()
    with serving(settings) as app:
        statuses = [
            app.test_client().post("/cities", json={}, headers={"Authorization": f"Bearer {secret}"}).status_code
            for secret in (made.output.strip(), turned)
        ]
    assert statuses == [401, 422]
    listed = command(settings, "list").output
    assert re.fullmatch(r"part-two  active  write:cities,write:awards  expires 2\S+Z  last used \S+\n", listed)
    assert command(settings, "revoke", "part-two").output == "The key part-two is revoked.\n"
    assert "part-two  revoked" in command(settings, "list").output


@ON_SQLITE
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "P x", "--scope", "write"], "use lower-case letters, digits and single hyphens"),
        (["create", "a", "--scope", "writ"], "'writ' is not one of"),
        (["create", "a"], "Missing option '--scope'"),
        (["create", "a", "--scope", "write", "--expires", "0d"], "'0d' is not a time in the future"),
        (["create", "a", "--scope", "write", "--expires", "2020-01-01T00:00:00Z"], "is not a time in the future"),
        (["create", "there", "--scope", "write"], "there is already a key 'there', or was one"),
        (["rotate", "nobody"], "there is no key 'nobody'; the keys are: there"),
        (["revoke", "nobody"], "there is no key 'nobody'; the keys are: there"),
    ],
)
def test_key_commands_that_are_wrong(settings: Settings, arguments: list[str], said: str) -> None:
    """An impossible command is refused in one line, and creates nothing."""
    command(settings, "create", "there", "--scope", "write")
    done = command(settings, *arguments)
    assert done.exit_code != 0
    assert said in done.stderr
    assert command(settings, "list").output.count("\n") == 1
