"""Programs that send the example of an operation, as its page in the reference shows them."""

import json
from pprint import pformat
from shlex import quote

from api.web.reference import Operation

# What a reader replaces by a key.
KEY = "Bearer YOUR_KEY"
FORM = "application/x-www-form-urlencoded"


def snippets(operation: Operation, base: str) -> dict[str, str]:
    """Return the programs by language; ``base`` is the address of the server."""
    return {"curl": _curl(operation, base), "JavaScript": _javascript(operation, base), "Python": _python(operation, base)}


def _headers(operation: Operation) -> dict[str, str]:
    key = {} if operation.scopes is None else {"Authorization": KEY}
    # Each program says itself that it sends a form.
    return key | ({"Content-Type": next(iter(operation.body.types))} if operation.body and not _is_form(operation) else {})


def _is_form(operation: Operation) -> bool:
    return operation.body is not None and FORM in operation.body.types


def _curl(operation: Operation, base: str) -> str:
    words = ["curl", *([] if operation.method == "GET" else ["-X", operation.method]), quote(base + operation.address)]
    options = [f"-H {quote(f'{name}: {value}')}" for name, value in _headers(operation).items()]
    body = [f"-d {quote(_json(operation))}"] if operation.body else []
    if operation.body and _is_form(operation):
        body = [f"--data-urlencode {quote(f'{name}={value}')}" for name, value in operation.body.example.items()]
    return " \\\n  ".join([" ".join(words), *options, *body])


def _javascript(operation: Operation, base: str) -> str:
    options = {} if operation.method == "GET" else {"method": json.dumps(operation.method)}
    if headers := _headers(operation):
        options["headers"] = json.dumps(headers)
    if operation.body:
        options["body"] = f"{'new URLSearchParams' if _is_form(operation) else 'JSON.stringify'}({_json(operation)})"
    lines = "".join(f"  {name}: {value},\n" for name, value in options.items())
    given = f", {{\n{lines}}}" if options else ""
    call = f"const answer = await fetch({json.dumps(base + operation.address)}{given});"
    return f"{call}\nconsole.log(answer.status, await answer.{'json' if _answers_json(operation) else 'text'}());"


def _python(operation: Operation, base: str) -> str:
    arguments = [json.dumps(base + operation.address)]
    if headers := _headers(operation):
        arguments.append(f"headers={headers!r}")
    if operation.body:
        name = "data" if _is_form(operation) else "json"
        arguments.append(f"{name}={pformat(operation.body.example, width=100, sort_dicts=False)}")
    arguments.append("timeout=30")
    call = f"requests.{operation.method.lower()}({', '.join(arguments)})"
    shown = "json()" if _answers_json(operation) else "text"
    return f"import requests\n\nanswer = {call}\nprint(answer.status_code, answer.{shown})"


def _json(operation: Operation) -> str:
    assert operation.body
    return json.dumps(operation.body.example, ensure_ascii=False, indent=2)


def _answers_json(operation: Operation) -> bool:
    return any("application/json" in content.types for _, content in operation.answers.values())
