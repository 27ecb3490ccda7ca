#!/usr/bin/env python3
"""Drives a running server with the official anthropic client.

    anthropic_client_test.py --base-url http://127.0.0.1:8000/v1 --model nano

Every check is a function; the exit status is 0 only if all of them hold.
"""

import argparse
import sys
import traceback
import typing

import anthropic
import pydantic

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Tell me a story about a fox."}]
THINKING = {"type": "enabled", "budget_tokens": 1024}
TOOLS = [{"name": name, "description": "Finds a city.",
          "input_schema": {"type": "object", "properties": {
              "country": {"type": "string"}}}}
         for name in ("capital", "largest_city")]


def ask(client, model, messages, max_tokens=160, **more):
    return client.messages.create(model=model, messages=messages,
                                  max_tokens=max_tokens, temperature=0, **more)


def prompt_of(usage):
    """Tokens of a prompt, wherever they were found."""
    return usage.input_tokens + usage.cache_read_input_tokens


def text_of(message):
    return "".join(x.text for x in message.content if x.type == "text")


def a_message_is_answered(client, model):
    x = ask(client, model, QUESTION)
    assert x.type == "message" and x.role == "assistant" and x.model == model
    assert x.id.startswith("msg_")
    # This model thinks, whatever it is told.
    assert [y.type for y in x.content if y.type != "thinking"] == ["text"], x
    assert text_of(x).strip() and "think>" not in text_of(x)
    assert x.stop_reason in ("end_turn", "max_tokens"), x
    assert x.usage.input_tokens > 0 and 0 < x.usage.output_tokens <= 160
    brief = ask(client, model, QUESTION, system=[
        {"type": "text", "text": "Answer in French.",
         "cache_control": {"type": "ephemeral"}}])
    assert prompt_of(brief.usage) > prompt_of(x.usage)


def thoughts_are_told_to_who_asks(client, model):
    x = ask(client, model, QUESTION, max_tokens=1200, thinking=THINKING)
    assert x.content[0].type == "thinking", x
    assert x.content[0].thinking.strip() and x.content[0].signature == ""
    assert text_of(x).strip(), x
    # Thoughts may go back: the model does not see them again.
    turns = QUESTION + [{"role": "assistant", "content": x.content},
                        {"role": "user", "content": "And of Peru?"}]
    short = QUESTION + [{"role": "assistant", "content": text_of(x)},
                        {"role": "user", "content": "And of Peru?"}]
    count = client.messages.count_tokens
    assert (count(model=model, messages=turns).input_tokens
            == count(model=model, messages=short).input_tokens)


def a_stream_says_what_the_whole_answer_says(client, model):
    for more in [{}, {"thinking": THINKING, "max_tokens": 1200},
                 {"tools": TOOLS, "tool_choice": {"type": "any"}}]:
        whole = ask(client, model, QUESTION, **more)
        more = {"max_tokens": 160, **more}
        with client.messages.stream(model=model, messages=QUESTION,
                                    temperature=0, **more) as stream:
            types = [x.type for x in stream]
            x = stream.get_final_message()
        plain = lambda m: [{k: v for k, v in y.model_dump().items()
                            if k not in ("id", "parsed_output")}
                           for y in m.content]
        assert plain(x) == plain(whole), (x, whole)
        assert x.stop_reason == whole.stop_reason
        assert x.usage.output_tokens == whole.usage.output_tokens
        assert prompt_of(x.usage) == prompt_of(whole.usage)
        assert types[0] == "message_start" and types[-1] == "message_stop"
        assert types.count("content_block_stop") == len(x.content)


def answers_end_where_they_are_told_to(client, model):
    x = ask(client, model, STORY, max_tokens=5)
    assert x.stop_reason == "max_tokens" and x.usage.output_tokens == 5
    whole = text_of(ask(client, model, STORY, max_tokens=60))
    stop = whole[10:13]
    x = ask(client, model, STORY, max_tokens=60, stop_sequences=[stop])
    assert x.stop_reason == "stop_sequence" and x.stop_sequence == stop
    assert text_of(x) == whole[:whole.index(stop)]


def tokens_are_counted(client, model):
    for more in [{}, {"tools": TOOLS}, {"system": "Be brief."}]:
        count = client.messages.count_tokens(model=model, messages=QUESTION,
                                             **more)
        x = ask(client, model, QUESTION, max_tokens=1, **more)
        assert count.input_tokens == prompt_of(x.usage), (count, x)


def a_tool_is_called_and_hears_back(client, model):
    for choice in ({"type": "tool", "name": "capital"},
                   {"type": "any", "disable_parallel_tool_use": True}):
        x = ask(client, model, QUESTION, tools=TOOLS, tool_choice=choice,
                max_tokens=600)
        calls = [y for y in x.content if y.type == "tool_use"]
        assert len(calls) == 1, x
        assert isinstance(calls[0].input, dict), x
        assert calls[0].name in ("capital", "largest_city"), x
        if x.stop_reason != "max_tokens":
            assert x.stop_reason == "tool_use", x
    turns = QUESTION + [
        {"role": "assistant", "content": x.content},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": calls[0].id,
             "content": [{"type": "text", "text": "Paris"}]},
            {"type": "text", "text": "Well?"}]}]
    x = ask(client, model, turns, tools=TOOLS, max_tokens=8)
    assert x.usage.output_tokens <= 8
    none = ask(client, model, QUESTION, tools=TOOLS,
               tool_choice={"type": "none"})
    assert none.content == ask(client, model, QUESTION).content


class Capital(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=12)
    river: typing.Literal["Seine", "Rhine"]


class River(pydantic.BaseModel):
    name: typing.Literal["Seine", "Rhine"]


def an_answer_is_what_its_schema_says(client, model):
    x = client.messages.create(
        model=model, messages=QUESTION, max_tokens=400, temperature=0,
        extra_body={"output_config": {"format": {
            "type": "json_schema", "schema": Capital.model_json_schema()}}})
    Capital.model_validate_json(text_of(x))
    # The client says lengths in words alone, which this model does not heed.
    if hasattr(client.messages, "parse"):
        x = client.messages.parse(model=model, messages=QUESTION,
                                  max_tokens=400, output_format=River)
        assert isinstance(x.parsed_output, River), x


def an_answer_goes_on_from_its_prefix(client, model):
    whole = text_of(ask(client, model, QUESTION))
    begun = QUESTION + [{"role": "assistant", "content": whole[:3]}]
    x = ask(client, model, begun)
    assert prompt_of(x.usage) < 8 + prompt_of(ask(
        client, model, QUESTION, max_tokens=1).usage)


def errors_are_of_their_kind(client, model):
    def expect(kind, words, call):
        try:
            call()
        except kind as error:
            assert error.body["type"] == "error", error.body
            assert words in error.body["error"]["message"], error.body
            return
        raise AssertionError(f"no {kind.__name__}")
    expect(anthropic.NotFoundError, "no-such-model",
           lambda: ask(client, "no-such-model", QUESTION))
    expect(anthropic.BadRequestError, "top_p",
           lambda: ask(client, model, QUESTION, top_p=2))
    expect(anthropic.BadRequestError, "maximum context length",
           lambda: ask(client, model, [
               {"role": "user", "content": "a b c " * 200_000}]))
    expect(anthropic.BadRequestError, "type", lambda: ask(client, model, [
        {"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": ""}}]}]))


CHECKS = [
    a_message_is_answered,
    thoughts_are_told_to_who_asks,
    a_stream_says_what_the_whole_answer_says,
    answers_end_where_they_are_told_to,
    tokens_are_counted,
    a_tool_is_called_and_hears_back,
    an_answer_is_what_its_schema_says,
    an_answer_goes_on_from_its_prefix,
    errors_are_of_their_kind,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base-url", required=True, help="ends in /v1")
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    client = anthropic.Anthropic(base_url=args.base_url.removesuffix("/v1"),
                                 api_key="none", timeout=120, max_retries=0)
    failed = 0
    for check in CHECKS:
        try:
            check(client, args.model)
            print("ok  ", check.__name__, flush=True)
        except Exception:
            failed += 1
            print("FAIL", check.__name__, flush=True)
            traceback.print_exc()
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
