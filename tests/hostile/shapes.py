"""Bytes that no honest client sends: where requests begin and end, and what is
in them. Each is (name, bytes, statuses that may be answered); no status at all
means that the connection may just be closed.
"""

import json

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
TYPE = b"Content-Type: application/json\r\n"
HIDDEN = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = json.dumps({"model": "nano", "prompt": "Once", "max_tokens": 1}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
GOOD = HEAD + TYPE + LENGTH + b"Connection: close\r\n\r\n" + BODY
CHUNKED = HEAD + TYPE + b"Transfer-Encoding: chunked\r\n"


def get(*headers):
    return b"GET /version HTTP/1.1\r\n" + b"".join(headers) + b"\r\n"


def in_chunks(body):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def smuggling():
    """Whoever reads these in two ways sees a second request. Nobody may answer
    it."""
    host = b"Host: x\r\n"
    end = b"\r\n" + BODY + HIDDEN
    for name, lines in {
            "length and chunks": LENGTH + b"Transfer-Encoding: chunked\r\n",
            "chunks and length": b"Transfer-Encoding: chunked\r\n" + LENGTH,
            "two lengths": LENGTH + b"Content-Length: 0\r\n",
            "the same length twice": LENGTH + LENGTH,
            "lengths in a list": b"Content-Length: 5, 5\r\n",
            "a length with a plus": b"Content-Length: +5\r\n",
            "a negative length": b"Content-Length: -1\r\n",
            "a hexadecimal length": b"Content-Length: 0x5\r\n",
            "a length in tenths": b"Content-Length: 5.0\r\n",
            "an empty length": b"Content-Length: \r\n",
            "a length of 2^64": b"Content-Length: 18446744073709551616\r\n",
            "a length of 2^64 + 5": b"Content-Length: 18446744073709551621\r\n",
            "a length of 2^63": b"Content-Length: 9223372036854775808\r\n",
            "a length of 300 digits": b"Content-Length: " + b"9" * 300 + b"\r\n",
            "a length with a tab within": b"Content-Length: 1\t0\r\n",
            "a length with a NUL": b"Content-Length: 5\0\r\n",
            "an obscure encoding": b"Transfer-Encoding: xchunked\r\n",
            "chunked and more": b"Transfer-Encoding: chunked, identity\r\n",
            "gzip in chunks": b"Transfer-Encoding: gzip, chunked\r\n",
            "identity": b"Transfer-Encoding: identity\r\n",
            "chunked twice": b"Transfer-Encoding: chunked\r\n" * 2,
            "chunked with a tab": b"Transfer-Encoding:\x0bchunked\r\n",
            "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n',
            "an empty encoding": b"Transfer-Encoding: \r\n",
            "a space before the colon": b"Content-Length : 5\r\n",
            "a tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
            "a folded line": b"X: a\r\n Content-Length: 5\r\n",
            "a folded encoding": b"Transfer-Encoding:\r\n chunked\r\n",
            "a bare LF": b"X: a\nContent-Length: 5\r\n",
            "a bare CR": b"X: a\rContent-Length: 5\r\n",
            "a NUL in a header": b"X: a\0b\r\n",
            "a header without a name": b": a\r\n",
            "a header without a colon": b"Content-Length\r\n",
            "a name with a space": b"Content Length: 5\r\n",
            "a name with a byte of UTF-8": b"Content-L\xc3\xa4nge: 5\r\n",
            "a control in a value": b"X: a\x01\r\n",
            "a DEL in a value": b"X: a\x7f\r\n",
    }.items():
        yield name, HEAD + TYPE + lines + end, {400, 411, 413, 501}
    for name, line in {
            "no host": b"",
            "two hosts": host + b"Host: y\r\n",
            "two hosts in a line": b"Host: x y\r\n",
            "a host with a path": b"Host: x/version\r\n",
            "a host with a user": b"Host: u@x\r\n",
    }.items():
        yield name, get(line) + HIDDEN, {400}
    for name, line in {
            "two spaces": b"GET  /version HTTP/1.1",
            "a tab": b"GET\t/version HTTP/1.1",
            "a space at the end": b"GET /version HTTP/1.1 ",
            "no version": b"GET /version",
            "HTTP/0.9": b"GET /version HTTP/0.9",
            "HTTP/1.10": b"GET /version HTTP/1.10",
            "HTTP/2": b"GET /version HTTP/2.0",
            "http in lower case": b"GET /version http/1.1",
            "a bare LF": b"GET /version HTTP/1.1\nX: y",
            "a space before it": b" GET /version HTTP/1.1",
            "a NUL in the path": b"GET /ver\0sion HTTP/1.1",
            "a byte of UTF-8": b"GET /\xff HTTP/1.1",
            "an odd method": b"G@T /version HTTP/1.1",
            "no path": b"GET HTTP/1.1",
            "a path of nothing": b"GET  HTTP/1.1",
    }.items():
        yield (f"request line with {name}", line + b"\r\n" + host + b"\r\n"
               + HIDDEN, {400, 505})
    yield "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}
    yield "a hello of TLS", bytes.fromhex("160301020001") + bytes(300), {400}
    yield "a hello of SMTP", b"EHLO x\r\n\r\n" + HIDDEN, {400}


def chunks():
    end = b"\r\n0\r\n\r\n" + HIDDEN
    size = b"%x" % len(BODY)
    for name, body in {
            "a negative size": b"-1\r\n" + BODY + end,
            "a size with 0x": b"0x" + size + b"\r\n" + BODY + end,
            "a size with a plus": b"+" + size + b"\r\n" + BODY + end,
            "a size with a space": size + b" \r\n" + BODY + end,
            "a size with a space before": b" " + size + b"\r\n" + BODY + end,
            "a size that is none": b"zz\r\n" + BODY + end,
            "no size": b"\r\n" + BODY + end,
            "a size of 2^64": b"1" + b"0" * 16 + b"\r\n" + BODY + end,
            "a size of 2^64 and some":
                b"1" + b"0" * 14 + size + b"\r\n" + BODY + end,
            "a size of 300 digits": b"0" * 300 + size + b"\r\n" + BODY + end,
            "a size with a bare LF": size + b"\n" + BODY + end,
            "a size with a bare CR": size + b"\r" + BODY + end,
            "more data than said": b"1\r\n" + BODY + end,
            "no end of data": size + b"\r\n" + BODY + b"0\r\n\r\n" + HIDDEN,
            "data with a bare LF":
                size + b"\r\n" + BODY + b"\n0\r\n\r\n" + HIDDEN,
            "an extension with an LF":
                size + b";a\nb\r\n" + BODY + end,
            "an extension with a NUL": size + b";a\0\r\n" + BODY + end,
            "long extensions": (b"1;" + b"a" * 3000 + b"\r\n{\r\n") * 2 + end,
            "long trailers":
                size + b"\r\n" + BODY + b"\r\n0\r\nX: " + b"a" * 9000
                + b"\r\n\r\n" + HIDDEN,
            "a trailer without a name":
                size + b"\r\n" + BODY + b"\r\n0\r\n: x\r\n\r\n" + HIDDEN,
            "a folded trailer":
                size + b"\r\n" + BODY + b"\r\n0\r\nX: a\r\n b\r\n\r\n" + HIDDEN,
    }.items():
        yield f"chunks with {name}", CHUNKED + b"\r\n" + body, {400, 413}
    yield ("chunks beyond the limit", CHUNKED + b"\r\n"
           + b"100000\r\n%s\r\n" % (b" " * 0x100000) * 9, {413})


def oversize():
    host = b"Host: x\r\n"
    yield "a long line", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", {414}
    yield "a long header", get(host, b"X: " + b"a" * 17000 + b"\r\n"), {431}
    yield "a header without end", get(host, b"X: ") + b"a" * 1_000_000, {400, 431}
    yield "65 headers", get(host, *[b"X%d: y\r\n" % i for i in range(65)]), {431}
    yield "a long body", HEAD + TYPE + b"Content-Length: 8388609\r\n\r\n", {413}
    yield ("a very long body", HEAD + TYPE
           + b"Content-Length: 99999999999\r\n\r\n", {413})
    yield ("a body at the limit that is no JSON", HEAD + TYPE
           + b"Connection: close\r\nContent-Length: 8388608\r\n\r\n"
           + b" " * 8388608, {400})
    yield ("a body in chunks of a byte", CHUNKED + b"Connection: close\r\n\r\n"
           + b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n", {400})


def others():
    """Well-formed, but not what is wanted."""
    host, close = b"Host: x\r\n", b"Connection: close\r\n"
    post = b"POST %s HTTP/1.1\r\n" + host + close
    for method in (b"TRACE", b"CONNECT", b"PUT", b"DELETE", b"PATCH", b"A" * 99):
        yield (f"method {method[:9].decode()}",
               method + b" /v1/completions HTTP/1.1\r\n" + host + close + b"\r\n",
               {400, 404, 405, 501})
    for path in (b"/", b"/v1", b"/v1/completions/", b"/v1/models/%00",
                 b"/v1/models/..%2f..%2fetc%2fpasswd", b"//v1/completions",
                 b"/v1/models/" + b"%" * 99, b"/health/../metrics", b"*",
                 b"http://a/version", b"?", b"/%zz"):
        yield (f"path {path[:30].decode()}", b"GET " + path + b" HTTP/1.1\r\n"
               + host + close + b"\r\n", {200, 400, 404, 405})
    for kind in (b"text/plain", b"application/jsonp", b"multipart/form-data",
                 b"application/json;" * 9, b"\xff"):
        yield (f"type {kind[:20]!r}", post % b"/v1/completions" + LENGTH
               + b"Content-Type: " + kind + b"\r\n\r\n" + BODY, {200, 400, 415})
    yield ("a body of GET", b"GET /version HTTP/1.1\r\n" + host + close + LENGTH
           + b"\r\n" + BODY, {400})
    yield ("an unknown expectation", post % b"/v1/completions" + TYPE + LENGTH
           + b"Expect: miracles\r\n\r\n" + BODY, {200, 417})
    yield ("an upgrade", get(host, close, b"Upgrade: h2c\r\n"), {200})
    yield ("no body", post % b"/v1/completions" + TYPE + b"\r\n", {400, 411})
    yield ("an empty body", post % b"/v1/completions" + TYPE
           + b"Content-Length: 0\r\n\r\n", {400})
    yield ("a key of bad bytes", get(host, close, b"Authorization: \xff\r\n"),
           {200, 400})
    yield ("a long key", get(host, close, b"Authorization: Bearer "
                             + b"x" * 9000 + b"\r\n"), {200})
    yield ("a name of a request with controls",
           get(host, close, b"X-Request-Id: a\x1b[2J\r\n"), {400})
    yield ("a long name of a request",
           get(host, close, b"X-Request-Id: " + b"a" * 5000 + b"\r\n"), {200})
