"""The words and numbers that generated records are made of, and weighted random choices from them."""

import itertools
import random
import re
import unicodedata
from collections.abc import Mapping, Sequence

# Population of each state in hundreds of thousands. Initiatives are distributed alike, so every eighth is California's.
STATES = (
    "AL51 AK7 AZ74 AR31 CA390 CO58 CT36 DE10 FL226 GA110 HI14 ID20 IL126 IN68 IA32 KS29 KY45 LA46 ME14 MD62 MA70 MI100 MN57 "
    "MS29 MO62 MT11 NE20 NV32 NH14 NJ93 NM21 NY196 NC108 ND8 OH118 OK40 OR42 PA130 RI11 SC53 SD9 TN71 TX303 UT34 VT6 VA87 WA78 "
    "WV18 WI59 WY6"
)
CATEGORIES = (("500000-or-more", 500_000), ("250000-to-499999", 250_000), ("125000-to-249999", 125_000), ("under-125000", 0))
STATUSES = {"in_operation": 40, "in_development": 25, "completed": 18, "planned": 9, "pilot": 6, "draft": 2}
ROLES = {"builder": 50, "partner": 25, "funder": 13, "coordinator": 8, "member": 4}
QUALIFIERS = {"exactly": 55, "more_than": 30, "nearly": 10, "at_least": 5}
MORE_PRIORITIES = (
    "Broadband access, Digital equity, Open data, Smart mobility, Public safety, Climate action, Cloud migration, "
    "Digital identity, Geographic information, Procurement reform"
)
METRICS = {
    "contacts handled": "contacts",
    "residents served": "people",
    "permits issued": "permits",
    "records digitized": "records",
    "hours saved": "hours",
    "processing time": "days",
    "share of services online": "percent",
    "satisfaction": "percent",
    "cost": "USD",
    "saved per year": "USD",
    "grant": "USD",
    "sensors installed": "sensors",
}
# The kinds of metrics by their units; all others are counts.
KINDS = {"percent": "share", "USD": "money"}
# The most frequent words of titles, most frequent first; invented words with falling frequency follow them.
COMMON = (
    "digital city data services portal community online public platform management network smart program permits mobile "
    "resident system upgrade cloud open access security dashboard traffic library water records modernization training "
    "emergency transit analytics response maps payments housing parking requests council neighborhood broadband energy budget "
    "safety lighting inspections licensing archive climate court fleet health innovation inventory kiosk lab mentoring meters "
    "outreach parks planning police procurement recycling resilience sensors sidewalks streets translation trees utilities "
    "volunteers waste wildfire wireless workforce zoning señalización accès café über naïve größe 数据 данные"
)
SYLLABLES = "ba ce di fo gu ka le mi no pu ra se ti vo xa lan mer nor pel ros sel tan ver win zor"
STEMS = (
    "Ash Bay Cedar Clear Eagle Elm Fair Glen Green High Iron Lake Maple Mill North Oak Pine River Rock Silver Spring Stone "
    "Sun West Winter Peña Cañada"
)
ENDINGS = "dale field ford haven mont port ridge side ton vale view ville wood burg"


class WeightedChoice:
    """Random choices from a list in which each item has a weight."""

    def __init__(self, weights: Mapping[str, float], chance: random.Random) -> None:
        """Sum the weights once, because there are many choices."""
        self.items, self.sums, self.chance = list(weights), list(itertools.accumulate(weights.values())), chance

    def some(self, count: int) -> list[str]:
        """Return `count` items, with repetition."""
        return self.chance.choices(self.items, cum_weights=self.sums, k=count)

    def one(self) -> str:
        """Return one item."""
        return self.some(1)[0]


def zipf(items: Sequence[str], *, shift: float = 0.0) -> dict[str, float]:
    """Return Zipf weights: each item's is 1 / (its rank + shift)."""
    return {item: 1 / (rank + shift) for rank, item in enumerate(items, 1)}


def slug(text: str) -> str:
    """Return a text in lower-case ASCII letters, digits and hyphens, as an id has them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def invented_words(count: int) -> list[str]:
    """Return `count` different words of three syllables that no language has."""
    return ["".join(parts) for parts in itertools.islice(itertools.product(SYLLABLES.split(), repeat=3), count)]
