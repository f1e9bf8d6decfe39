"""Addresses of pages, with some parameters changed."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

# Characters that a query need not escape, and that are easier to read as they are.
SAFE = ",:/"


@dataclass(frozen=True)
class Address:
    """A path with its parameters, in order."""

    path: str
    arguments: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        """Return it as a URL without scheme and host."""
        text = urlencode([*self.arguments], safe=SAFE)
        return f"{self.path}?{text}" if text else self.path

    def having(self, name: str, *values: str) -> "Address":
        """Return it with these values of a parameter, and without the place of a page."""
        return Address(self.path, [*self.without(name, "cursor").arguments, *((name, value) for value in values)])

    def without(self, *names: str) -> "Address":
        """Return it without some parameters."""
        return Address(self.path, [row for row in self.arguments if row[0] not in names])

    def joined(self, names: Container[str]) -> "Address":
        """Return it with all values of each of these parameters in one, as a list separated by commas."""
        values: dict[str, list[str]] = {}
        for name, value in self.arguments:
            values.setdefault(name, []).append(value)
        given = {name: [",".join(several)] if name in names else several for name, several in values.items()}
        return Address(self.path, [(name, value) for name, several in given.items() for value in several])

    def hidden(self, shown: Iterable[str]) -> Sequence[tuple[str, str]]:
        """Return the parameters that a form must repeat because it has no field for them."""
        left_out = {*shown, "cursor"}
        return [row for row in self.arguments if row[0] not in left_out]
