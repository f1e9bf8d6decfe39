"""Those who saw versions that were lost, with the requests by which they go on."""

from flask.testing import FlaskClient

from tests.support.answers import brief, read

# The followers that know nothing but a number: only an epoch keeps them from being misled.
INTEGERS = {"since", "since of a noun", "min_version"}


class Followers:
    """Those who saw the last of the lost versions, each with a request by which it goes on."""

    def __init__(self, client: FlaskClient) -> None:
        """Let them read."""
        page, flat = (read(client, f"/changes{noun}?since=0&limit=1000") for noun in ("", "/cities"))
        version = page["head"]
        self.paths = {
            "since": f"/changes?since={version}",
            "since of a noun": f"/changes/cities?since={version}",
            "min_version": f"/cities?min_version={version}",
            "cursor": f"/changes?cursor={page['cursor']}",
            "cursor of a change": f"/changes?since={page['data'][-1]['cursor']}",
            "cursor of a change of a noun": f"/changes/cities?cursor={flat['data'][-1]['cursor']}",
        }
        self.tags = {path: client.get(path).headers["ETag"] for path in ("/cities", "/cities/kept-0-zz", "/changes?since=0")}

    def misled(self, client: FlaskClient) -> set[str]:
        """Return the names of those who are not told that what they know is lost."""
        answers = {name: client.get(path) for name, path in self.paths.items()}
        misled = {
            name for name, answer in answers.items() if answer.status_code != 410 or brief(answer)[1] != "cursor-diverged"
        }
        misled |= {
            path for path, tag in self.tags.items() if client.get(path, headers={"If-None-Match": tag}).status_code != 200
        }
        tag = {"If-Match": self.tags["/cities/kept-0-zz"]}
        if client.patch("/cities/kept-0-zz?dry_run=true", json={"summary": "Misled."}, headers=tag).status_code != 412:
            misled.add("If-Match")
        return misled
