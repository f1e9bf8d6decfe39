"""How nouns are declared: fields, types, operators, relations, canonical bytes, formats and strict JSON."""
