"""The tasks of docs/query.md: what to do, the request that does it, and the members of its answer that have the result."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

ADDRESS = "http://127.0.0.1:8000"


class Recipe(NamedTuple):
    """A task; ``members`` is the path to the result in the answer, empty if that is text."""

    task: str
    path: str
    members: Sequence[str] = ("data",)


RECIPES = (
    Recipe("The ranking of a category", "/awards?category=500000-or-more&sort=rank&fields=rank,tied,city.name"),
    Recipe("A city, and its awards and initiatives in `included`", "/cities/los-angeles-ca?include=awards,initiatives"),
    Recipe(
        "The initiatives of a state, ten to a page: the address of the next page",
        "/initiatives?city.state=CA&limit=10",
        ("links", "next"),
    ),
    Recipe("Only whole initiatives, without their parts", "/initiatives?city=los-angeles-ca&parent__isnull=true"),
    Recipe("Any of several values", "/initiatives?status=pilot,planned,in_development"),
    Recipe("What began in December of any year", "/initiatives?started__month=12"),
    Recipe("The boxes of a sidebar, without records", "/initiatives?facets=status,priority,city&limit=0", ("facets",)),
    Recipe("The same boxes after a choice", "/initiatives?status=in_operation&facets=status,priority,city", ("facets",)),
    Recipe("How many there are", "/initiatives?priority=cybersecurity&limit=0", ("page", "total")),
    Recipe("Suggestions while someone types", "/suggest?q=sacr"),
    Recipe("A search in everything", "/search?q=permits"),
    Recipe("A search in a list, with the words in context", "/initiatives?q=wifi&highlights=true"),
    Recipe("Amounts of money", "/initiatives?metric.kind=money&fields=title,city,metrics"),
    Recipe("The organizations that fund an initiative", "/organizations?initiative.role=funder"),
    Recipe("The points of a map", "/cities?location.latitude__isnull=false&fields=name,location"),
    Recipe("A table for a spreadsheet", "/awards.csv?sort=survey.year,rank&fields=survey.year,category,rank,city.name", ()),
    Recipe("The labels of codes", "/enums"),
    Recipe("Where the source says what a record says", "/citations?subject_id=los-angeles-ca-myla311&include=source"),
    Recipe("Facts that no source plainly states", "/initiatives?basis=inferred,editorial&fields=title,basis"),
    Recipe("What has changed since a version", "/changes?since=800"),
)


def in_shell() -> Iterator[str]:
    """Yield the lines of a shell script that does all tasks."""
    yield f"api={ADDRESS}"
    for number, recipe in enumerate(RECIPES, 1):
        yield f"# {number}. {recipe.task}"
        yield f'curl "$api{recipe.path}"'


def in_javascript() -> Iterator[str]:
    """Yield the lines of a JavaScript module that does all tasks."""
    yield f'const ask = (path) => fetch("{ADDRESS}" + path);'
    for number, recipe in enumerate(RECIPES, 1):
        ask, members = f'(await ask("{recipe.path}"))', "".join(f".{member}" for member in recipe.members)
        yield f"// {number}. {recipe.task}"
        yield f"console.log((await {ask}.json()){members});" if members else f"console.log(await {ask}.text());"


def in_python() -> Iterator[str]:
    """Yield the lines of a Python program that does all tasks."""
    yield from ("from json import loads", "from urllib.request import urlopen", "")
    yield from ("", "def ask(path):", f'    return urlopen("{ADDRESS}" + path).read().decode()', "", "")
    for number, recipe in enumerate(RECIPES, 1):
        ask, members = f'ask("{recipe.path}")', "".join(f'["{member}"]' for member in recipe.members)
        yield f"# {number}. {recipe.task}"
        yield f"print(loads({ask}){members})" if members else f"print({ask})"
