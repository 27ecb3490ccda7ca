#!/usr/bin/env python3
"""Drives /v1/responses of a running server with the official openai client.

    responses_client_test.py --base-url http://127.0.0.1:8000/v1 --model nano

Every check is a function; the exit status is 0 only if all of them hold.
"""

import argparse
import sys
import traceback
import typing

import openai
import pydantic

QUESTION = "What is the capital of France?"
TOOLS = [{"type": "function", "name": name, "description": "Finds a city.",
          "strict": True, "parameters": {
              "type": "object", "required": ["country"],
              "additionalProperties": False,
              "properties": {"country": {"enum": ["France", "Peru"]}}}}
         for name in ("capital", "largest_city")]


def respond(client, model, **more):
    return client.responses.create(
        model=model, temperature=0,
        **{"input": QUESTION, "max_output_tokens": 160, **more})


def counts(usage):
    """What does not depend on what is in the cache."""
    return usage.input_tokens, usage.output_tokens, usage.output_tokens_details


def a_response_has_items(client, model):
    x = respond(client, model)
    assert x.object == "response" and x.model == model
    assert x.id.startswith("resp_") and x.status == "completed", x
    assert [y.type for y in x.output] == ["reasoning", "message"], x
    assert x.output_text.strip() and "think>" not in x.output_text
    assert x.output[0].content[0].text.strip()
    assert x.usage.input_tokens > 0
    details = x.usage.output_tokens_details
    assert 0 < details.reasoning_tokens < x.usage.output_tokens <= 160
    assert x.usage.input_tokens_details.cached_tokens >= 0
    plain = respond(client, model, reasoning={"effort": "none"})
    # This model thinks, whatever it is told.
    assert plain.output[-1].type == "message" and plain.output_text, plain
    assert plain.reasoning.effort == "none"
    as_items = respond(client, model, input=[
        {"role": "user",
         "content": [{"type": "input_text", "text": QUESTION}]}])
    assert as_items.output_text == x.output_text
    short = respond(client, model, max_output_tokens=3)
    assert short.status == "incomplete", short
    assert short.incomplete_details.reason == "max_output_tokens"


def a_stream_says_what_the_whole_response_says(client, model):
    # More than one call would go on for as long as there are tokens.
    for more in [{}, {"tools": TOOLS, "tool_choice": "required",
                      "parallel_tool_calls": False,
                      "max_output_tokens": 600}]:
        whole = respond(client, model, **more)
        with client.responses.stream(
                model=model, input=QUESTION, temperature=0,
                **{"max_output_tokens": 160, **more}) as stream:
            events = list(stream)
            x = stream.get_final_response()
        assert [y.sequence_number for y in events
                if y.sequence_number is not None] == list(range(len(events)))
        assert x.output_text == whole.output_text
        assert [y.type for y in x.output] == [y.type for y in whole.output]
        assert counts(x.usage) == counts(whole.usage)
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        text = "".join(y.delta for y in events
                       if y.type == "response.output_text.delta")
        assert text == whole.output_text
        again = list(client.responses.retrieve(x.id, stream=True))
        assert [y.type for y in again] == [y.type for y in events]
        assert again[-1].response.output_text == x.output_text
        rest = list(client.responses.retrieve(x.id, stream=True,
                                              starting_after=5))
        assert rest == again[6:]


class Capital(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=12)
    river: typing.Literal["Seine", "Rhine"]


def a_response_is_what_its_schema_says(client, model):
    x = client.responses.parse(model=model, input=QUESTION, temperature=0,
                               max_output_tokens=400, text_format=Capital)
    assert isinstance(x.output_parsed, Capital), x


def a_response_goes_on_from_another(client, model):
    first = respond(client, model, tools=TOOLS, max_output_tokens=600,
                    tool_choice={"type": "function", "name": "capital"})
    call, = [y for y in first.output if y.type == "function_call"]
    assert call.name == "capital" and call.call_id, first
    output = {"type": "function_call_output", "call_id": call.call_id,
              "output": "Paris"}
    second = respond(client, model, tools=TOOLS, input=[output],
                     previous_response_id=first.id, tool_choice="none")
    again = respond(client, model, tools=TOOLS, tool_choice="none",
                    input=[{"role": "user", "content": QUESTION}]
                    + first.output + [output])
    assert second.output_text == again.output_text
    assert counts(second.usage) == counts(again.usage)
    assert client.responses.retrieve(second.id).output == second.output
    client.responses.delete(second.id)
    for gone in (lambda: client.responses.retrieve(second.id),
                 lambda: client.responses.delete(second.id)):
        try:
            gone()
        except openai.NotFoundError as error:
            assert second.id in error.body["message"], error
        else:
            raise AssertionError("a deleted response was found")


def errors_are_of_their_kind(client, model):
    def expect(kind, param, **more):
        try:
            respond(client, **{"model": model, **more})
        except kind as error:
            assert error.param == param, (error.param, error)
        else:
            raise AssertionError(f"{more} was accepted")
    expect(openai.NotFoundError, "model", model="no-such-model")
    expect(openai.BadRequestError, "previous_response_id",
           previous_response_id="resp_none")
    expect(openai.BadRequestError, "tools[0].type",
           tools=[{"type": "web_search"}])
    expect(openai.BadRequestError, "background", background=True)
    expect(openai.BadRequestError, "top_p", top_p=3)


CHECKS = [
    a_response_has_items,
    a_stream_says_what_the_whole_response_says,
    a_response_is_what_its_schema_says,
    a_response_goes_on_from_another,
    errors_are_of_their_kind,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base-url", required=True, help="ends in /v1")
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    client = openai.OpenAI(base_url=args.base_url, api_key="none", timeout=120,
                           max_retries=0)
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
