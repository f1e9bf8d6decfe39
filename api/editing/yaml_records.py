"""Reads a YAML list of records one by one, with the types of JSON."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import yaml

from api.editing.file_faults import FileError
from api.schema.strict_json import load

HINT = (
    "indent with spaces, and put a text into quotes if it has `: ` or ` #` in it, or begins with one of "
    "`{ } [ ] , & * ! | > % @` or a quote"
)


class _Parser(yaml.CSafeLoader):
    """Reads numbers, true, false and null as JSON does; YAML 1.1 would read `NO` as false, and `2024-07-31` as a date."""


_Parser.yaml_implicit_resolvers = {}
# Each pattern is JSON's, and narrower than YAML 1.1's, so that a text that YAML writes without quotes is read as the same text.
for _tag, _pattern, _first in (
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("json", r"^(?:true|false)$", ["t", "f"]),
    ("json", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+][0-9]+)?)?$", list("-0123456789")),
):
    _Parser.add_implicit_resolver(_tag, re.compile(_pattern), _first)


class YamlRecords:
    """The records of a file. An alias counts as a copy of its value, so that short files cannot stand for huge records."""

    def __init__(self, path: Path, file: TextIO, most: int) -> None:
        """Begin before the first record; a record has at most ``most`` characters and values."""
        self.path, self.parser, self.most = path, _Parser(file), most
        self.line, self.size = 1, 0
        # Values with an anchor, and their sizes.
        self.anchors: dict[str, tuple[Any, int]] = {}

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield each record with the line on which it begins. Raises FileError."""
        self._event()
        if isinstance(self._event(), yaml.StreamEndEvent):
            return
        if not isinstance(self._event(), yaml.SequenceStartEvent):
            raise self._fault("a file of records is a list: each record begins with `- `")
        while not isinstance(event := self._event(), yaml.SequenceEndEvent):
            line, self.size = self.line, 0
            try:
                yield line, self._value(event)
            except RecursionError:
                raise self._fault("it is nested too deeply") from None
        self._event()
        if not isinstance(self._event(), yaml.StreamEndEvent):
            raise self._fault("a file of records is one document: remove this `---`")

    def _event(self) -> Any:
        try:
            event: Any = self.parser.get_event()
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark or error.context_mark
            self.line = mark.line + 1 if mark else self.line
            raise self._fault(f"{error.problem or error.context}; {HINT}") from None
        except yaml.YAMLError as error:
            raise self._fault(str(error).splitlines()[0]) from None
        self.line = event.start_mark.line + 1
        return event

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._fault(f"the alias `*{event.anchor}` has no anchor before it; {HINT}")
            value, size = self.anchors[event.anchor]
            self._grow(size)
            return value
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            raise self._fault(f"the tag `{event.tag}` is not allowed: leave it out, or put the text into quotes")
        before = self.size
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list()
        else:
            value = self._mapping()
        if event.anchor:
            self.anchors[event.anchor] = value, self.size - before
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        self._grow(1 + len(event.value))
        tag = event.tag or self.parser.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag == "null":
            return None
        try:
            return load(event.value, exact=True) if tag == "json" else event.value
        except ValueError as error:
            raise self._fault(str(error)) from None

    def _list(self) -> list[Any]:
        self._grow(1)
        items = []
        while not isinstance(event := self._event(), yaml.SequenceEndEvent):
            items.append(self._value(event))
        return items

    def _mapping(self) -> dict[str, Any]:
        self._grow(1)
        members: dict[str, Any] = {}
        while not isinstance(key := self._event(), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise self._fault(f"a key is a text; {HINT}")
            if key.value in members:
                raise self._fault(f"the key {key.value!r} occurs twice")
            self._grow(1 + len(key.value))
            members[key.value] = None
            members[key.value] = self._value(self._event())
        return members

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > self.most:
            raise self._fault(f"a record has at most {self.most:,} characters, with a copy of its value for each alias")

    def _fault(self, detail: str) -> FileError:
        return FileError(self.path, self.line, detail)
