"""Maps of records: a dot for each, on the outlines of the countries and states that they are in.

`make outlines` writes `data/outlines.json`, which has the outlines with their origin and licence. A degree of longitude is as
wide as it is at the middle latitude of the map.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import cos, radians
from pathlib import Path
from typing import Any

from api.html import texts
from api.html.values import Names
from api.schema.resource import Resource

OUTLINES = Path(__file__).parent / "data" / "outlines.json"
# The width of a map by its height, as the style sheet has it, and its widths in pixels: on a phone, and on a wide screen.
RATIO, NARROW, WIDE = 1.6, 288, 512
# The smallest height of a map in degrees, and what is left free at each side, as a part of its size.
LEAST, MARGIN = 1.0, 0.08
# A map with more dots has no labels, and one with more than MOST no links.
LABELLED, MOST = 30, 200
# In pixels: half the room that a dot takes, the room of a letter, and half the height of a label.
DOT, LETTER, HALF = 7, 6.6, 8
# A label is on the first side where it has room: where it begins and ends, by its width, and whether it is above or below.
SIDES = {"right": (0, 1, 0), "left": (-1, 0, 0), "above": (-0.5, 0.5, -1), "below": (-0.5, 0.5, 1)}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Dot:
    """A record on a map: its place in percent of the width and the height, and the side of its label, if that has room.

    ``wide``: the label has room on a wide screen only.
    """

    name: str
    address: str
    x: float
    y: float
    side: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Map:
    """A map: the ``box`` of its outlines, which are classes with paths and how far these are moved, and its dots.

    If there are too many dots, ``crowd`` is a path with a point for each.
    """

    box: Box
    outlines: Sequence[tuple[str, str, int]]
    dots: Sequence[Dot]
    crowd: str
    caption: str
    credits: Sequence[str]


@cache
def areas() -> Mapping[str, Any]:
    """Return the outlines by the code of a country, or of a country and its region, as in ISO 3166."""
    return dict(json.loads(OUTLINES.read_text(encoding="utf-8"))["areas"])


def map_of(
    resource: Resource, records: Sequence[Mapping[str, Any]], names: Names, root: str, chosen: Sequence[str] | None = None
) -> Map | None:
    """Return a map of records; None if their noun has none, no place is known, or places were not chosen."""
    if not resource.look.map or (chosen is not None and resource.look.map[0] not in chosen):
        return None
    place, *codes = resource.look.map
    located = [record for record in records if record.get(place)]
    points = _unwrapped([(record[place]["longitude"], record[place]["latitude"]) for record in located])
    inside = [_area([record.get(code) for code in codes], x) for record, (x, _) in zip(located, points, strict=True)]
    # Without an outline, a dot says nothing.
    if not (shown := [*dict.fromkeys(filter(None, inside))]):
        return None
    behind = [*_countries(shown)]
    box = _box([*(((x, y) * 2) for x, y in points), *(_bounds(*area) for area in (*behind, *shown))])
    called = [names.get((resource.name, record["id"]), record["id"]) for record in located]
    addresses = [f"{root}/{resource.name}/{record['id']}" for record in located]
    is_crowded = len(points) > MOST
    return Map(
        box=box,
        outlines=[*_drawn("land", behind, box), *_drawn("area", shown, box)],
        dots=[] if is_crowded else [*_dots(_places(points, box), called, addresses)],
        crowd="".join(f"M{100 * x:.0f} {-100 * y:.0f}h0" for x, y in points) if is_crowded else "",
        caption=_caption(resource, called, len(records)),
        credits=[*dict.fromkeys(row["attribution"] for record in located for row in record.get("attributions", ()))],
    )


def _caption(resource: Resource, located: Sequence[str], count: int) -> str:
    if count == 1:
        return f"Where {located[0]} is."
    some = f"{len(located)} of " if len(located) < count else ""
    return f"Where {some}these {texts.counted(count, resource.name)} are."


def _unwrapped(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the points with longitudes that begin after the widest gap between them: a map can cross the 180th meridian."""
    if not points:
        return points
    longitudes = sorted({x for x, _ in points})
    gaps = [(longitudes[0] + 360 - longitudes[-1], longitudes[0]), *((b - a, b) for a, b in pairwise(longitudes))]
    west = max(gaps)[1]
    return [(x if x >= west else x + 360, y) for x, y in points]


def _area(codes: Sequence[str | None], longitude: float) -> tuple[str, int] | None:
    """Return the smallest known area that the codes name, and by how many turns it is moved to be at a longitude."""
    names = ["-".join(filter(None, codes[:length])) for length in range(len(codes), 0, -1)]
    name = next((name for name in names if name in areas()), None)
    if not name:
        return None
    west, _, east, _ = _bounds(name, 0)
    return name, round((longitude - (west + east) / 2) / 360)


def _countries(shown: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Yield the countries across which several of the shown areas are spread: these alone would look lost."""
    regions: dict[tuple[str, int], list[Box]] = defaultdict(list)
    for name, turns in shown:
        country, _, region = name.partition("-")
        if region and country in areas():
            regions[country, turns].append(_bounds(name, turns))
    for area, bounds in regions.items():
        west, _, east, _ = _bounds(*area)
        if len(bounds) > 1 and max(row[2] for row in bounds) - min(row[0] for row in bounds) > (east - west) / 2:
            yield area


def _bounds(name: str, turns: int) -> Box:
    """Return the west, south, east and north of most of an area, in degrees."""
    area = areas()[name]
    wests, norths, easts, souths, _ = zip(*area["parts"][: area["main"]], strict=True)
    return min(wests) / 100 + 360 * turns, -max(souths) / 100, max(easts) / 100 + 360 * turns, -min(norths) / 100


def _box(bounds: Sequence[Box]) -> Box:
    """Return a box of a map's ratio around all bounds, as SVG has it: x, y, width and height, in hundredths of a degree."""
    wests, souths, easts, norths = zip(*bounds, strict=True)
    x, y = (min(wests) + max(easts)) / 2, (min(souths) + max(norths)) / 2
    # Near a pole, a degree of longitude is nothing.
    narrowed = max(cos(radians(y)), 0.1)
    height = max(LEAST, max(norths) - min(souths), (max(easts) - min(wests)) * narrowed / RATIO) * (1 + 2 * MARGIN)
    width = min(height * RATIO / narrowed, 360.0)
    return 100 * (x - width / 2), 100 * (-y - height / 2), 100 * width, 100 * height


def _places(points: Sequence[tuple[float, float]], box: Box) -> Sequence[tuple[float, float]]:
    x, y, width, height = box
    return [((100 * east - x) / width, (-100 * north - y) / height) for east, north in points]


def _drawn(kind: str, shown: Sequence[tuple[str, int]], box: Box) -> Iterator[tuple[str, str, int]]:
    """Yield a class, the path of an area as far as it is in a box, and how far that is moved."""
    x, y, width, height = box
    for name, turns in shown:
        moved = 36_000 * turns
        seen = [
            path
            for west, north, east, south, path in areas()[name]["parts"]
            if west + moved < x + width and east + moved > x and north < y + height and south > y
        ]
        if seen:
            yield kind, "".join(seen), moved


def _dots(places: Sequence[tuple[float, float]], names: Sequence[str], addresses: Sequence[str]) -> Iterator[Dot]:
    """Yield the dots at these places, which are parts of the width and the height."""
    narrow: Mapping[int, str] = {}
    wide: Mapping[int, str] = {}
    if len(places) <= LABELLED:
        narrow = _labels(places, names, NARROW, {})
        wide = _labels(places, names, WIDE, narrow)
    for n, (name, address, (x, y)) in enumerate(zip(names, addresses, places, strict=True)):
        yield Dot(name, address, round(100 * x, 2), round(100 * y, 2), wide.get(n, ""), n in wide and n not in narrow)


def _labels(
    places: Sequence[tuple[float, float]], names: Sequence[str], width: float, sides: Mapping[int, str]
) -> Mapping[int, str]:
    """Return the sides of the labels that have room on a map of this width; some have theirs already."""
    height = width / RATIO
    centres = [(x * width, y * height) for x, y in places]
    taken = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in centres]
    taken += [_label(*centres[n], names[n], side) for n, side in sides.items()]
    chosen = dict(sides)
    for n, (x, y) in enumerate(centres):
        for side in SIDES if n not in chosen else ():
            left, top, right, bottom = label = _label(x, y, names[n], side)
            if left < 0 or top < 0 or right > width or bottom > height:
                continue
            if not any(left < e and right > w and top < s and bottom > t for w, t, e, s in taken):
                chosen[n] = side
                taken.append(label)
                break
    return chosen


def _label(x: float, y: float, name: str, side: str) -> Box:
    """Return the room of a label at this side of a dot."""
    start, end, down = SIDES[side]
    length = LETTER * len(name)
    gap = DOT * (start + end)
    middle = y + down * (DOT + HALF)
    return x + gap + start * length, middle - HALF, x + gap + end * length, middle + HALF
