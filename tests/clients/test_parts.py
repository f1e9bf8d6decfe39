"""Both clients keep copies of some nouns, cities and surveys."""

import random
from urllib.error import HTTPError

import pytest

from tests.support.copies import city
from tests.support.databases import head, publishing
from tests.support.mirrors import GAVE_UP, Copy, on_sqlite
from tests.support.parts import begin, part, turn, world_of
from tests.support.watched import Watched


@on_sqlite
def test_a_city_is_followed(server: Watched, copy: Copy) -> None:
    """A copy of two cities and a survey stays the part that it should be, however records come, move and go; nothing proves it."""
    chance = random.Random(3)  # noqa: S311 - nothing is secret
    with publishing(server.database) as session:
        begin(session)
    sizes = set()
    for _ in range(5):
        for _ in range(3):
            turn(server.database, chance)
        version = copy.mirror(server.address, limit=3, city="c0-zz,c1-zz", survey="s0-zz")
        world = world_of(server.database)
        assert copy.records() == part(world, "city=c0-zz,c1-zz&survey=s0-zz")
        assert version == head(server.database)
        sizes.add(len(copy.records()))
    assert len(sizes) > 1
    assert {*server.paths()} == {"/snapshot", "/changes"}


@on_sqlite
def test_a_copy_of_nouns_is_proved_and_mended(server: Watched, copy: Copy) -> None:
    """A copy of some nouns is compared with the digests of these, and mended; a change elsewhere changes nothing."""
    kinds = {"kinds": "awards,surveys"}
    version = copy.mirror(server.address, **kinds)
    expected = part(world_of(server.database), "kinds=awards,surveys")
    assert copy.records() == expected
    assert server.paths() == ["/snapshot", "/changes", "/digest"]
    server.asked.clear()
    copy.put(dict.fromkeys([key for key in expected if key[0] == "awards"][:1]))
    server.curator.post("/cities", json=city("other-zz"))
    assert copy.mirror(server.address, **kinds) == version + 1
    assert copy.records() == expected
    assert [path.rpartition("/")[0] for path in server.paths()] == ["", "", "/digest"]


@on_sqlite
def test_a_copy_keeps_its_part(seeds: Watched, copy: Copy) -> None:
    """A copy of one city is not continued as that of another: the client gives up, and changes nothing."""
    copy.mirror(seeds.address, city="boston-ma")
    records, cursor = copy.records(), copy.cursor()
    with pytest.raises(GAVE_UP) as refusal:
        copy.mirror(seeds.address, city="san-diego-ca")
    assert "400" in str(refusal.value)
    if isinstance(refusal.value, HTTPError):
        refusal.value.close()
    assert (copy.records(), copy.cursor()) == (records, cursor)
