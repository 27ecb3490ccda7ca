"""Bodies that are no requests, or ask for what nobody may have. Each is
(name, route, bytes, statuses that may be answered), and the field that has to
be named if it is one.
"""

import json

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "x"}]
INT32 = 2**31 - 1


def base(route):
    out = {"model": "nano", "max_tokens": 1, "temperature": 0}
    out.update({"messages": MESSAGES} if route == CHAT else {"prompt": "Once"})
    return out


def with_field(route, name, value):
    """JSON in which `value` stands as it is written."""
    out = base(route)
    out.pop(name, None)
    return (json.dumps(out)[:-1] + f', "{name}": {value}' + "}").encode()


def evil_json():
    """What no strict reader takes."""
    good = json.dumps(base(TEXT))
    deep = "[" * 100_000
    for name, text in {
            "nothing": "",
            "a space": " ",
            "no object": "[]",
            "a string": '"x"',
            "null": "null",
            "half": good[:-1],
            "more": good + "{}",
            "a comma": good[:-1] + ",}",
            "a comment": good + " // x",
            "single quotes": good.replace('"', "'"),
            "no quotes": "{model: 1}",
            "NaN": good[:-1] + ', "x": NaN}',
            "Infinity": good[:-1] + ', "x": -Infinity}',
            "hexadecimal": good[:-1] + ', "x": 0x10}',
            "a zero before": good[:-1] + ', "x": 01}',
            "a point alone": good[:-1] + ', "x": 1.}',
            "True": good[:-1] + ', "x": True}',
            "a control": good[:-1] + ', "x": "\x01"}',
            "a NUL": good[:-1] + ', "x": "\x00"}',
            "a bad escape": good[:-1] + r', "x": "\q"}',
            "half an escape": good[:-1] + r', "x": "\u12"}',
            "half of a pair": good[:-1] + r', "x": "\ud800"}',
            "a pair the wrong way": good[:-1] + r', "x": "\udc00\ud800"}',
            "a name twice": good[:-1] + ', "model": "nano"}',
            "a name twice, spelled otherwise": good[:-1] + r', "\u006dodel": "a"}',
            "a name twice, deep": good[:-1] + ', "x": [{"a": 1, "a": 2}]}',
            "33 lists": good[:-1] + f', "x": {"[" * 33 + "]" * 33}}}',
            "100,000 lists": deep,
            "100,000 objects": '{"a":' * 100_000,
            "100,000 lists, closed": deep + "]" * 100_000,
            "5,000 names": good[:-1] + ", " + ", ".join(
                f'"a{i}": 1' for i in range(5000)) + "}",
            "300,000 values": good[:-1] + f', "x": [{"1," * 300_000}1]}}',
    }.items():
        yield f"JSON: {name}", TEXT, text.encode("utf-8", "surrogatepass"), {400}
    bad = {"a lone byte": b"\xff", "a short character": b"\xc3",
           "an overlong slash": b"\xc0\xaf", "a surrogate": b"\xed\xa0\x80",
           "beyond Unicode": b"\xf4\x90\x80\x80"}
    for name, data in bad.items():
        for where in ("prompt", "model", "stop", "user"):
            text = with_field(TEXT, where, '"@"').replace(b"@", data)
            yield f"UTF-8 in {where}: {name}", TEXT, text, {400}
    yield "UTF-16", TEXT, good.encode("utf-16"), {400}
    yield "UTF-32", TEXT, good.encode("utf-32"), {400}
    for name, number in {"1e400": "1e400", "-1e400": "-1e400", "1e-400": "1e-400",
                         "a million digits": "9" * 1_000_000,
                         "a long fraction": "0." + "0" * 1_000_000 + "1",
                         "a long exponent": "1e" + "9" * 1000}.items():
        yield (f"number: {name}", TEXT, with_field(TEXT, "top_p", number),
               {200, 400})


# Name, route, the least and the most; beyond them it is refused by its name.
WHOLE = [
    ("max_tokens", TEXT, 1, None), ("max_tokens", CHAT, 1, None),
    ("max_completion_tokens", CHAT, 1, None), ("min_tokens", TEXT, 0, 1),
    ("n", TEXT, 1, 8), ("n", CHAT, 1, 8), ("best_of", TEXT, 1, 1),
    ("top_k", TEXT, -1, INT32), ("top_k", CHAT, -1, INT32),
    ("seed", TEXT, -2**63, 2**64 - 1), ("seed", CHAT, -2**63, 2**64 - 1),
    ("logprobs", TEXT, 0, 20),
]
REAL = [
    ("temperature", 0, 2), ("top_p", 0, 1), ("min_p", 0, 1),
    ("repetition_penalty", 0.01, 100), ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
]


def numbers():
    """Each numeric field at its limits, beyond them, and with what is none."""
    odd = ["1e308", "-1e308", "NaN", '"1"', "[]", "{}", "true", "1e400",
           "-9223372036854775809", "18446744073709551616"]
    for name, route, least, most in WHOLE:
        values = [-2**63, -1, 0, 1, 2**63]
        values += [most, most + 1] if most is not None else [INT32 + 1]
        for value in values:
            known = least <= value and (most is None or value <= most)
            # How long a context may be is told with other words.
            allowed = {200} if known and most is not None else {400}
            if most is None and value == 1:
                allowed = {200}
            yield field(route, name, str(value), allowed)
        yield field(route, name, "null", {200})
        yield field(route, name, "0.5", {400})
        for value in odd:
            yield field(route, name, value, {400})
    for name, least, most in REAL:
        for route in (TEXT, CHAT):
            for value in (least, most):
                yield field(route, name, str(value), {200})
            for value in (least - 0.001, most + 0.001, -2**63, 2**63):
                yield field(route, name, str(value), {400})
            yield field(route, name, "null", {200})
            for value in odd:
                yield field(route, name, value, {400})
    yield from lists_of_numbers(odd)


def field(route, name, value, allowed):
    where = "chat" if route == CHAT else "text"
    return (f"{where}: {name} = {value[:40]}", route,
            with_field(route, name, value), allowed, name)


def lists_of_numbers(odd):
    for value in odd + ["-1", str(INT32 + 1), "0.5", "null"]:
        yield field(TEXT, "stop_token_ids", f"[{value}]", {400})
        yield field(TEXT, "logit_bias", f'{{"{value[:9]}x": 1}}', {400})
        yield field(TEXT, "prompt", f"[{value}]",
                    {400, 200} if value == '"1"' else {400})
    for value in odd + ["-100.5", "100.5"]:
        yield field(TEXT, "logit_bias", f'{{"5": {value}}}', {400})
    yield field(TEXT, "logit_bias", json.dumps({i: 1 for i in range(1025)}), {400})
    yield field(TEXT, "stop_token_ids", json.dumps([1] * 65), {400})
    yield field(TEXT, "stop_token_ids", json.dumps([1] * 64), {200})
    yield field(TEXT, "stop", json.dumps(["x"] * 17), {400})
    yield field(TEXT, "stop", json.dumps(["x" * 256] * 16), {200})
    yield field(TEXT, "stop", json.dumps("x" * 257), {400})
    yield field(TEXT, "prompt", json.dumps([5] * 600), {400})
    yield field(TEXT, "prompt", json.dumps("x " * 100_000), {400})
    yield field(TEXT, "prompt", json.dumps(["x"] * 129), {400})
    yield field(TEXT, "prompt", "[[]]", {400})
    yield field(CHAT, "messages", json.dumps(MESSAGES * 4097), {400})
    yield field(CHAT, "messages", "[]", {400})
    yield field(CHAT, "messages", '[{"role": "nobody", "content": "x"}]', {400})
    yield field(CHAT, "messages", '[{"role": "user"}]', {400})
    yield field(CHAT, "messages", '[{"role": "user", "content": {}}]', {400})
    yield field(CHAT, "top_logprobs", "21", {400})
    yield field(CHAT, "top_logprobs", "-1", {400})


def grammars():
    """What may take long to compile, or does not end."""
    for name, regex in {
            "doubled plus": "(a+)+$", "a group of a group": "((a*)*)*b",
            "alternatives alike": "(a|a|a|a)*b", "deep groups": "(" * 10_000,
            "deep groups, closed": "(" * 10_000 + "a" + ")" * 10_000,
            "300 groups": "(" * 300 + "a" + ")" * 300,
            "counts of counts": "((a{1,1000}){1,1000}){1,1000}",
            "a large count": "a{1000000000}", "any number": "a{99999999999999}",
            "a long any": ".{0,100000}", "the past": r"(a)\1", "ahead": "(?=a)b",
            "behind": "(?<=a)b", "an open class": "[a-", "a wrong class": "[z-a]",
            "a lone star": "*", "a class of Unicode": r"\p{L}+",
            "nothing": "", "no text": "[^\\s\\S]", "60 KiB": "(ab|cd)" * 9000,
            "70 KiB": "a" * 70_000, "a NUL": "a\0b",
            "wide classes": r"[^\u0000-\u0020]{1,500}" * 20,
    }.items():
        yield (f"regex: {name}", CHAT,
               with_field(CHAT, "guided_regex", json.dumps(regex)), {200, 400})
    deep = {"type": "integer"}
    for _ in range(30):
        deep = {"anyOf": [deep, deep]}
    for name, schema in {
            "itself": {"$ref": "#"}, "a ring": {
                "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"},
                                               "b": {"$ref": "#/$defs/a"}}},
            "elsewhere": {"$ref": "http://169.254.169.254/latest"},
            "a file": {"$ref": "file:///etc/passwd"},
            "an unknown place": {"$ref": "#/$defs/none"},
            "no type": {"type": "wrong"}, "a number": 5, "a list": [],
            "many values": {"enum": list(range(20_000))},
            "long lists": {"type": "array", "minItems": 10**9},
            "long strings": {"type": "string", "minLength": 10**9},
            "lists of lists": {"type": "array", "maxItems": 999, "items": {
                "type": "array", "maxItems": 999, "items": {
                    "type": "array", "maxItems": 999}}},
            "negative lengths": {"type": "string", "minLength": -5},
            "a wrong pattern": {"type": "string", "pattern": "(a+"},
            "a slow pattern": {"type": "string", "pattern": "^(a+)+$"},
            "wide numbers": {"type": "integer", "minimum": -10**300,
                             "maximum": 10**300},
            "tenths": {"type": "number", "multipleOf": 1e-300},
            "conditions": {"if": {}, "then": {}, "not": {}},
            "many members": {"type": "object", "properties": {
                f"a{i}": {"type": "integer"} for i in range(2000)}},
            "nothing": {"enum": []}, "false": False, "null": None,
    }.items():
        form = {"type": "json_schema", "json_schema": {"name": "x",
                                                       "schema": schema}}
        yield (f"schema: {name}", CHAT, with_field(CHAT, "response_format",
                                                   json.dumps(form)), {200, 400})
    ring = ('{"type": "json_schema", "json_schema": {"name": "x", "schema": '
            + '{"anyOf": [' * 12 + "{}" + "]}" * 12 + "}}")
    yield ("schema: deep", CHAT, with_field(CHAT, "response_format", ring),
           {200, 400})
    for name, tools in {
            "129": [{"type": "function", "function": {"name": f"f{i}"}}
                    for i in range(129)],
            "twice": [{"type": "function", "function": {"name": "f"}}] * 2,
            "no name": [{"type": "function", "function": {}}],
            "an odd name": [{"type": "function", "function": {
                "name": "<｜tool▁sep｜>"}}],
            "no function": [{"type": "function"}],
            "a number": [5],
            "a ring": [{"type": "function", "function": {
                "name": "f", "strict": True, "parameters": {"$ref": "#"}}}],
    }.items():
        body = base(CHAT)
        body.update(tools=tools, tool_choice="required")
        yield f"tools: {name}", CHAT, json.dumps(body).encode(), {200, 400}


def large_ones():
    """Megabytes, far beyond the context."""
    size = 2_000_000
    for name, text in {
            "one letter": "a" * size, "spaces": " " * size,
            "line ends": "\n" * size, "digits": "1" * size,
            "an emoji": "\U0001f600" * (size // 12), "words": "to be " * (size // 6),
            "marks": "<think>" * (size // 7),
            "halves of marks": "<｜tool▁calls" * (size // 37),
            "combining marks": "a\u0301" * (size // 8),
    }.items():
        yield f"large prompt: {name}", TEXT, with_field(
            TEXT, "prompt", json.dumps(text)), {400}
    many = [{"role": "user", "content": [{"type": "text", "text": "a"}] * 20}]
    yield "large chat: parts", CHAT, with_field(CHAT, "messages",
                                                json.dumps(many * 3000)), {400}
    yield "large list of ids", TEXT, with_field(
        TEXT, "prompt", json.dumps([7] * 250_000)), {400}
    yield "many names", TEXT, (json.dumps(base(TEXT))[:-1] + ", " + ", ".join(
        f'"{i}": {{}}' for i in range(4000)) + "}").encode(), {200}


def all_bodies():
    yield from evil_json()
    yield from large_ones()
    yield from numbers()
    yield from grammars()
