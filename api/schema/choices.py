"""Values that a member can have, each with a label and a sentence for its reader."""

from enum import StrEnum
from typing import Self


class Choice(StrEnum):
    """The base class of enumerations: each member is declared with its value and a sentence that says what it means."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        """Return the member of a value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    @property
    def label(self) -> str:
        """The value in words."""
        return label_of(self.value)


def label_of(value: str) -> str:
    """Return a value in words."""
    return value.replace("_", " ").capitalize()
