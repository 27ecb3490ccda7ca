"""ask.py URL MODEL QUESTION: streams one chat answer to the terminal.

The last line says what it took, from the stream and from /metrics. Needs only
Debian's Python.
"""

import json
import sys
import time
import urllib.request


def metrics(url):
    """Returns {name: value}, summed over labels."""
    out = {}
    with urllib.request.urlopen(url + "/metrics", timeout=10) as reply:
        for line in reply.read().decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0]
                out[name] = out.get(name, 0.0) + float(value)
    return out


def settled_metrics(url):
    """Nodes report their counters now and then: reads until they rest."""
    last = metrics(url)
    for _ in range(20):
        time.sleep(0.5)
        now = metrics(url)
        if all(now.get(k) == last.get(k) for k in now if "_bytes" in k):
            return now
        last = now
    return last


def chunks(url, model, question):
    body = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "max_tokens": 200,
        "messages": [{"role": "user", "content": question}],
    }
    request = urllib.request.Request(
        url + "/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        for line in reply:
            line = line.decode().strip()
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line[6:])


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def size(num_bytes):
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"


def main(url, model, question):
    before = metrics(url)
    print(f"\nquestion: {question}")
    section, usage, first = None, None, None
    for chunk in chunks(url, model, question):
        if "error" in chunk:
            sys.exit(f"\n{chunk['error']['message']}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for key, title in (("reasoning_content", "thinking"), ("content", "answer")):
                text = delta.get(key) or ""
                if section != key:
                    text = text.lstrip()
                if text:
                    first = first or time.monotonic()
                    if section != key:
                        show(f"\n{title}: " if section else f"{title}: ")
                        section = key
                    show(text)
    seconds = time.monotonic() - (first or time.monotonic())
    after = settled_metrics(url)
    grown = {k: v - before.get(k, 0) for k, v in after.items()}
    count = usage["completion_tokens"] if usage else 0
    rate = (count - 1) / seconds if count > 1 and seconds > 0 else 0
    print(
        f"\n\n{count} tokens, {rate:.0f} tokens/s;"
        f" {after['troupe_attention_ranks_used']:.0f} of {after['troupe_attention_ranks']:.0f} ranks"
        f" and {after['troupe_expert_workers_used']:.0f} of {after['troupe_expert_workers']:.0f}"
        " expert workers used;"
        f" {size(grown['troupe_dispatch_bytes_total'])} dispatched and"
        f" {size(grown['troupe_combine_bytes_total'])} combined"
        + (" over UCX" if after["troupe_nodes"] > 1 else "")
    )
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
