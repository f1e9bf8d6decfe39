"""States of the USA as people write them: the codes of the post, the names, and the abbreviations of the press."""

import re

from api.ledger.index.folding import fold

# A code, the name, and abbreviations other than the code.
TABLE = """
AL Alabama|Ala
AK Alaska
AZ Arizona|Ariz
AR Arkansas|Ark
CA California|Calif|Cal
CO Colorado|Colo
CT Connecticut|Conn
DE Delaware|Del
DC District of Columbia|D.C
FL Florida|Fla
GA Georgia
HI Hawaii
ID Idaho
IL Illinois|Ill
IN Indiana|Ind
IA Iowa
KS Kansas|Kan|Kans
KY Kentucky
LA Louisiana
ME Maine
MD Maryland
MA Massachusetts|Mass
MI Michigan|Mich
MN Minnesota|Minn
MS Mississippi|Miss
MO Missouri
MT Montana|Mont
NE Nebraska|Neb|Nebr
NV Nevada|Nev
NH New Hampshire|N.H
NJ New Jersey|N.J
NM New Mexico|N.M|N. Mex
NY New York|N.Y
NC North Carolina|N.C
ND North Dakota|N.D|N. Dak
OH Ohio
OK Oklahoma|Okla
OR Oregon|Ore
PA Pennsylvania|Penn|Penna
PR Puerto Rico|P.R
RI Rhode Island|R.I
SC South Carolina|S.C
SD South Dakota|S.D|S. Dak
TN Tennessee|Tenn
TX Texas|Tex
UT Utah
VT Vermont
VA Virginia
WA Washington|Wash
WV West Virginia|W. Va
WI Wisconsin|Wis|Wisc
WY Wyoming|Wyo
"""
# Boston, Mass. or Boston (MA) or Boston MA, but not Kansas City: a name of a state alone is no end. In a text without capitals,
# two letters at the end are a code, too.
AT_THE_END, WITHOUT_CAPITALS = (
    re.compile(rf"(?P<city>.+?)(?:\s*,\s*(?P<comma>[^,()]+)|\s*\((?P<within>[^()]+)\)|\s+(?P<code>{code}))\s*")
    for code in ("[A-Z]{2}", "[a-z]{2}")
)


def _letters(text: str) -> str:
    return "".join(character for character in fold(text) if character.isalnum())


CODES = {_letters(spelling): line[:2] for line in TABLE.split("\n") if line for spelling in (line[:2], *line[3:].split("|"))}


def code_of(text: str) -> str | None:
    """Return the code of a state by its code, name or abbreviation; None for any other text."""
    return CODES.get(_letters(text))


def split_city(text: str) -> tuple[str, str | None]:
    """Return the name of a city and the code of its state: Boston and MA of `Boston, Mass.`; None if no state follows."""
    match = (WITHOUT_CAPITALS if text.islower() else AT_THE_END).fullmatch(text.strip())
    state = match and code_of(match["comma"] or match["within"] or match["code"])
    return (match["city"], state) if match and state else (text.strip(), None)
