"""The canonical form of names, so that one name is not stored in several ways."""

import unicodedata

# Format characters that change how their neighbours look, in Persian, in scripts of India and in emoji.
JOINERS = "\u200c\u200d"
# Letters, marks and a symbol that show nothing.
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
# Controls, format characters, halves of surrogate pairs, private use, and separators of lines and paragraphs.
REFUSED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# What a JSON Schema can say of this in short: no control characters and line ends, and something besides spaces.
PATTERN = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029]*[^\x00-\x20\x7F-\xA0\u2028\u2029][^\x00-\x1F\x7F-\x9F\u2028\u2029]*$"
# Letters, numbers, punctuation and symbols.
VISIBLE = "LNPS"


def canonical(text: str) -> str:
    """Return a name in NFC, trimmed, with a single space for each run of spaces of any kind.

    Raises ValueError for a character that a reader cannot see, and for a name without one that a reader can see.
    """
    # Most names have nothing else to be looked for.
    if text.isascii() and text.isprintable() and (words := text.split()):
        return " ".join(words)
    for character in text:
        if character in BLANKS or (unicodedata.category(character) in REFUSED and character not in JOINERS):
            raise ValueError(f"A name cannot contain the character {_called(character)}.")
    parts = "".join(" " if unicodedata.category(c) == "Zs" else c for c in unicodedata.normalize("NFC", text)).split(" ")
    name = " ".join(part for part in parts if part)
    if not any(unicodedata.category(character)[0] in VISIBLE for character in name):
        raise ValueError("A name needs at least one letter, digit or sign.")
    for before, character, after in zip(f" {name[:-1]}", name, f"{name[1:]} ", strict=True):
        if character in JOINERS and " " in {before, after}:
            raise ValueError(f"In a name, {_called(character)} can only stand between two other characters.")
    return name


def key(name: str) -> str:
    """Return a text that names have in common if they differ only in case, spacing or normalization (Unicode's NFKC)."""
    if name.isascii():
        return " ".join(name.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def _called(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
